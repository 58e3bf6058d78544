"""The report of a comparison as one self-contained HTML file, with no network and no scripts, and as Markdown."""

import re
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from qweft.circuit.drawing import circuit_text
from qweft.circuit.picture import circuit_svg
from qweft.comparison.report.circuits import circuits
from qweft.comparison.report.content import Content, Figures
from qweft.comparison.report.curves import MOST
from qweft.comparison.report.inspection import means
from qweft.comparison.report.text import KINDS, environment, examples, measured_on, notes, questions, tally
from qweft.comparison.table import FORGETTING, forgetting_rows, markdown_rows, search_rows, summary_rows
from qweft.comparison.wording import ANSWERS, text_of
from qweft.text import escaped

MARKS = {"yes": "✓", "no": "✗", "equivalent": "=", "not decided": "≈", "open": "?"}
"""Symbols shown with the answers, so that colour is not the only cue."""
NUMBERS = (
    "Losses in nats a token, mean over seeds; ± is the sample standard deviation over seeds. The late training loss is "
    "that of the last quarter of the steps. In brackets beside a step time: the share of the CPU that other programs "
    "used meanwhile."
)
SEARCHED = (
    "Rates were chosen on the validation rows alone. “May fall short by” is how far the loss at the chosen rate may be "
    "above the optimum (95%): from the parabola through the best rate and its neighbours, and the spread over seeds. "
    "With one seed the spread is not known: “or more”."
)


def page_of(content: Content, drawn: Figures) -> str:
    """Return the text of report.html: a whole HTML document with its styles and figures inside."""
    return _rendered("page.html.j2", content, drawn)


def render_markdown(content: Content, drawn: Figures) -> str:
    """Return the text of report.md; its pictures are the figures' files in the same folder."""
    return _rendered("report.md.j2", content, drawn).rstrip("\n") + "\n"


def _rendered(name: str, content: Content, drawn: Figures) -> str:
    templates = Environment(
        loader=PackageLoader("qweft.comparison.report", "."),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"minus": minus, "breakable": breakable, "tally": tally, "circuit_svg": circuit_svg}
    templates.filters |= {"text_of": text_of, "word": lambda verdict: ANSWERS[verdict.direction]}
    templates.filters |= {"md": escaped, "fenced": fenced, "table": _markdown, "circuit_text": circuit_text}
    return templates.get_template(name).render(
        content=content,
        circuits=circuits(content.runs),
        figures=drawn,
        crowded=len(content.styles) > MOST,
        questions=questions(content),
        numbers=summary_rows(content.summary),
        numbers_note=NUMBERS,
        kinds=KINDS,
        forgetting=forgetting_rows(content.summary),
        forgetting_note=FORGETTING,
        means=means(content.inspected),
        measured_on=measured_on(content),
        searched=search_rows(content.search),
        searched_note=SEARCHED,
        examples=examples(content),
        environment=environment(content),
        notes=notes(content),
        marks=MARKS,
    )


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return markdown_rows([[escaped(cell) for cell in row] for row in rows]).rstrip()


def fenced(text: str, language: str = "") -> str:
    """Return text unchanged in a code fence longer than any in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def breakable(name: str) -> Markup:
    """Return the escaped name, with line breaks allowed after underscores."""
    return escape(name).replace("_", Markup("_<wbr>"))


def minus(text: str) -> str:
    """Return the text with true minus signs before negative numbers; names keep their hyphens."""
    return re.sub(r"(?<![\w.])-(?=[\d.])", "−", text)
