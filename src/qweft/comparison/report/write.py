"""Writes and remakes a report: one self-contained HTML file without scripts, Markdown, and the figures as PNG."""

import os
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from qweft.circuit.draw.drawing import circuit_text
from qweft.circuit.draw.picture import circuit_uri
from qweft.comparison.report.content import Content, Figures, figures, tally
from qweft.comparison.report.figures import MOST
from qweft.comparison.report.table import markdown_rows, search_rows, summary_rows
from qweft.comparison.report.wording import ANSWERS, text_of
from qweft.comparison.results_file import OF_REPORT, RESULTS, read_results, reading
from qweft.core.claims import claimed_output
from qweft.core.errors import QweftError
from qweft.core.files import write_bytes
from qweft.core.progress import progress
from qweft.core.records import write_record
from qweft.core.text import escape_markdown, strip_controls
from qweft.inspect.measures import measure_rows

PAGE = "report.html"


@progress("writing the report")
def write_report(results: dict[str, Any], folder: Path) -> Content:
    """Write results.json, report.html, report.md and the figures as PNG, each file atomically."""
    content = Content.read(results)
    drawn = figures(content)
    files = {name: rendered(name, content, drawn) for name in ("report.md", PAGE)}
    write_record(folder / RESULTS, results)
    for section in drawn.values():
        for figure in section:
            figure.write(folder)
    for name, text in files.items():
        write_bytes(folder / name, text.encode())
    return content


def remake_report(source: Path, output: Path | None = None) -> Path:
    """Write the report again from saved results, given their file or its folder; return the path of the page."""
    own = source if source.is_dir() else source.parent
    folder = output or own
    if folder.resolve() != own.resolve() and any(os.path.lexists(folder / name) for name in OF_REPORT):
        raise QweftError(f"output {folder} holds another report; choose another --output")
    with claimed_output(folder, "qweft report"):
        file, results = read_results(source)
        with reading(file):
            write_report(results, folder)
    return folder / PAGE


def rendered(name: str, content: Content, drawn: Figures) -> str:
    """Return the text of report.md or report.html, by the template of that name."""
    templates = Environment(
        loader=PackageLoader("qweft.comparison.report", "."),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"minus": minus, "breakable": breakable, "tally": tally, "circuit_uri": circuit_uri}
    templates.filters |= {"text_of": text_of, "word": lambda verdict: ANSWERS[verdict.direction]}
    templates.filters |= {"md": escape_markdown, "fenced": fenced, "circuit_text": circuit_text}
    templates.filters["table"] = lambda rows: markdown_rows(
        [[escape_markdown(cell) for cell in row] for row in rows]
    ).rstrip()
    text = templates.get_template(f"{name}.j2").render(
        content=content,
        figures=drawn,
        crowded=len(content.styles) > MOST,
        numbers=summary_rows(content.summary),
        means=measure_rows(content.inspected),
        searched=search_rows(content.search),
    )
    return strip_controls(text).rstrip("\n") + "\n"


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
