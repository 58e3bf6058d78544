"""The report of a comparison as one self-contained HTML file, with no network and no scripts, and as Markdown."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup, escape

from qweft.circuit.drawing import circuit_svg, circuit_text
from qweft.comparison.rates import best_tried
from qweft.comparison.report.content import Content, Figures, figures, styles_of
from qweft.comparison.report.curves import MOST
from qweft.comparison.report.inspection import chip_rows, mapped, replacements, shown
from qweft.comparison.report.side_by_side import differing
from qweft.comparison.report.text import (
    KINDS,
    SEARCHED,
    answers,
    environment,
    inspected_on,
    notes,
    questions,
    rates,
)
from qweft.comparison.summary import Summary
from qweft.comparison.table import EMPTY, FORGETTING, cells, forgetting_rows, markdown_rows, markdown_table
from qweft.figures.figure import ReportFigure
from qweft.figures.styles import Style
from qweft.text import escaped

TEMPLATES = ("page.html.j2", "sections.html.j2", "beside.html.j2", "report.md.j2", "style.css")

MARKS = {"yes": "✓", "no": "✗", "equivalent": "=", "not decided": "≈", "open": "?"}
"""Symbols shown with the answers, so that colour is not the only cue."""


def page_of(content: Content, drawn: Figures) -> str:
    """Return the text of report.html: a whole HTML document with its styles and figures inside."""
    return str(_template("page.html.j2").render(r=_view(content, drawn, styles_of([content]), "")))


def render_markdown(content: Content, drawn: Figures) -> str:
    """Return the text of report.md; its pictures are the figures' files in the same folder."""
    view = {**_facts(content), "inside": _inside(content), "tried": _tried(content)}
    return str(_template("report.md.j2", is_html=False).render(r=view, figures=drawn)).rstrip("\n") + "\n"


def render_beside(left: Content, right: Content, names: tuple[str, str]) -> str:
    """Return a page with two reports, section by section, on the same scales; it begins with their differences."""
    contents = [left, right]
    return _template("beside.html.j2").render(
        reports=[
            {
                "name": name,
                "letter": letter,
                "view": _view(content, figures(content, contents), styles_of(contents), f"{letter.lower()}-"),
            }
            for content, name, letter in zip(contents, names, "AB", strict=True)
        ],
        differing=differing(left, right),
    )


def _template(name: str, is_html: bool = True) -> Any:
    folder = files("qweft.comparison.report")
    sources = {file: folder.joinpath(file).read_text(encoding="utf-8") for file in TEMPLATES}
    environment = Environment(
        loader=DictLoader(sources), autoescape=is_html, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"minus": minus, "breakable": breakable, "md": escaped, "table": _table, "fenced": fenced}
    environment.filters |= {"markdown_table": lambda summary: markdown_table(summary).rstrip()}
    environment.filters |= {"circuit_text": circuit_text}
    environment.globals["css"] = Markup(sources["style.css"])
    environment.globals["marks"] = MARKS
    return environment.get_template(name)


def _view(content: Content, drawn: Figures, styles: Mapping[str, Style], prefix: str) -> dict[str, Any]:
    """Return everything that the templates show of one comparison, with finished figures."""

    def element(figure: ReportFigure | None) -> dict[str, Any] | None:
        if figure is None:
            return None
        return {"svg": Markup(figure.svg(prefix)), "title": figure.title, "caption": figure.caption}

    return {
        **_facts(content),
        "prefix": prefix,
        "opening": [element(figure) for figure in drawn.opening],
        "forests": [element(figure) for figure in drawn.forests[1:]],
        "rows": [_row(entry) for entry in content.summary.values()],
        "key": [(name, Markup(styles[name].swatch())) for name in content.methods],
        "crowded": len(content.methods) > MOST,
        "figures": [element(figure) for figure in (drawn.by_size, drawn.by_time) if figure is not None],
        "search": element(drawn.search),
        "spectra": element(drawn.spectra),
        "maps": [element(figure) for figure in drawn.maps],
        "more_maps": [element(figure) for figure in drawn.more_maps],
        "measured": _measured(content),
        "circuits": [
            {"svg": Markup(circuit_svg(each.circuit, f"{prefix}circuit-{number}")), **each._asdict()}
            for number, each in enumerate(content.circuits)
        ],
    }


def _facts(content: Content) -> dict[str, Any]:
    """Return what the page and the Markdown show alike."""
    return {
        "content": content,
        "model": content.runs[0].model,
        "data": content.runs[0].data,
        "questions": questions(content),
        "forgetting": forgetting_rows(content.summary),
        "forgetting_said": FORGETTING,
        "searched": SEARCHED,
        "means": _means(content),
        "inspected_on": inspected_on(content),
        "answers": answers(content),
        "rates": rates(content),
        "environment": environment(content),
        "notes": notes(content),
    }


def _row(entry: Summary) -> dict[str, Any]:
    """Return one method's row: per column a number and, smaller, its spread or its relation to the reference."""
    name, size, more, rate, late, _, perplexity, difference, seconds, memory, file, ships = cells(entry)
    is_reference = entry.method == entry.reference
    loss = f"{entry.eval_loss:.4f}" if entry.eval_loss is not None else f"{entry.diverged} of {len(entry.seeds)}"
    return {
        "name": name,
        "kind": KINDS[entry.kind] + (", reference" if is_reference else ""),
        "role": "reference" if is_reference else entry.kind,
        "cells": [
            (size, "" if is_reference or more == EMPTY else more),
            (loss, "diverged" if entry.diverged else _spread(entry.eval_loss_deviation, 4)),
            (EMPTY, "") if is_reference else (difference, _spread(entry.eval_loss_difference_deviation, 1)),
            (perplexity, ""),
            (late, _spread(entry.late_train_loss_deviation, 3)),
            (rate, ""),
            (seconds, "" if is_reference else entry.step_time_doubt or _times(entry.step_time_ratio)),
            (memory, "" if is_reference else _times(entry.memory_ratio)),
            (file, ""),
            (ships, ""),
        ],
    }


KEPT = "Fitted on half of some validation rows, judged on the others; small, the standard error over rows."
"""What a share of the gain that a fit keeps is."""
CHIP = "Forward, and backward by parameter shift. The chip's errors, queues and the evaluation come on top."
"""What the circuits of a training on a chip are."""


def _means(content: Content) -> list[dict[str, Any]]:
    """Return each measure's mean over layers with minimum and maximum, method by method."""
    rows = []
    for measure in shown(content.inspected):
        numbers = [entry.over_layers(measure.key) for entry in content.inspected.values()]
        cells = [(measure.said(mean), _range(measure.said(least), measure.said(most))) for mean, least, most in numbers]
        meaning = measure.meaning if measure.place == "table" else ""  # otherwise its map says it
        rows.append({"title": measure.title, "meaning": meaning, "cells": cells})
    rows += [{"title": title, "meaning": KEPT, "cells": cells} for title, cells in replacements(content.inspected)]
    rows += [{"title": title, "meaning": CHIP, "cells": cells} for title, cells in chip_rows(content.inspected)]
    return rows


def _inside(content: Content) -> list[list[str]]:
    """Return the table of means over layers in Markdown; the heat maps show how layers differ."""
    rows = [["mean over layers", *content.inspected]]
    for row in _means(content):
        is_range = any(row["title"] == measure.title for measure in shown(content.inspected))
        rows.append([row["title"], *(mean if is_range else f"{mean} {more}".rstrip() for mean, more in row["cells"])])
    return rows


def _tried(content: Content) -> list[list[str]]:
    """Return validation losses by method and rate, the best rate's in bold, then the chosen rate and its shortfall."""
    tried = sorted({rate for entry in content.search for rate in entry.losses})
    rows = [["method", *(f"{rate:g}" for rate in tried), "chosen", "may fall short by"]]
    for entry in content.search:
        cells = [
            EMPTY if (loss := entry.losses.get(rate)) is None else f"{loss:.4f}" if math.isfinite(loss) else "diverged"
            for rate in tried
        ]
        best = best_tried(entry.by_seed)
        marked = [f"**{cell}**" if rate == best else cell for rate, cell in zip(tried, cells, strict=True)]
        name = escaped(entry.method) + (" (end of what was tried)" if entry.at_end else "")
        rows.append([name, *marked, f"{entry.best:g}", entry.shortfall.said])
    return rows


def _table(rows: Iterable[Sequence[str]], escape: bool = True) -> str:
    return markdown_rows([[escaped(cell) if escape else cell for cell in row] for row in rows]).rstrip()


def fenced(text: str, language: str = "") -> str:
    """Return text unchanged in a code fence longer than any in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _range(least: str, most: str) -> str:
    """Return both ends, or nothing if they look the same."""
    return "" if least == most else f"{least.removesuffix('%')} to {most}"


def _measured(content: Content) -> list[dict[str, Any]]:
    """Return a table per measure: one row per method and module, one column per block."""
    tables = []
    for measure in mapped(content.inspected):
        rows = []
        blocks = sorted({block for entry in content.inspected.values() for _, block in entry.values[measure.key]})
        for entry in content.inspected.values():
            values = entry.values[measure.key]
            for module in dict.fromkeys(module for module, _ in values):
                numbers = [values.get((module, block)) for block in blocks]
                rows.append((f"{entry.method}, {module}", [measure.said(number) for number in numbers]))
        tables.append({"title": measure.title, "blocks": blocks, "rows": rows})
    return tables


def _spread(value: float | None, digits: int) -> str:
    """Return a standard deviation over seeds as text."""
    return "" if value is None else f"± {value:.{digits}f}"


def _times(ratio: float | None) -> str:
    """Return a ratio to the reference as text."""
    return "" if ratio is None else f"{ratio:.2f} ×"


def breakable(name: str) -> Markup:
    """Return the escaped name, with line breaks allowed after underscores."""
    return escape(name).replace("_", Markup("_<wbr>"))


def minus(text: str) -> str:
    """Return the text with true minus signs before negative numbers; names keep their hyphens."""
    return re.sub(r"(?<![\w.])-(?=[\d.])", "−", text)
