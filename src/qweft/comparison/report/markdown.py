"""The report of a comparison as Markdown."""

import math
import re
from collections.abc import Sequence

from qweft.circuit.drawing import circuit_text
from qweft.comparison.rates import best_tried
from qweft.comparison.report.circuit_rows import chip_rows, replacements
from qweft.comparison.report.content import Content, Figures
from qweft.comparison.report.inspection import shown
from qweft.comparison.report.text import (
    SEARCHED,
    Answer,
    answers,
    environment,
    inspected_on,
    notes,
    questions,
    rates,
)
from qweft.comparison.table import EMPTY, FORGETTING, forgetting_rows, markdown_rows, markdown_table
from qweft.figures.figure import ReportFigure
from qweft.text import escaped


def render_markdown(content: Content, figures: Figures) -> str:
    """Return the text of report.md; its pictures are the figures' files in the same folder."""
    sections = [
        _head(content),
        _short(content, figures.opening),
        _findings(content, figures.forests[1:]),
        ["## The numbers", markdown_table(content.summary).rstrip(), _spread_said(content)],
        _forgetting(content),
        *(_picture(figure) for figure in (figures.by_size, figures.by_time)),
        _inside(content, figures),
        _circuits(content),
        _answers(content),
        _how(content, figures.search),
        ["## Notes", "\n".join(f"- {escaped(note)}" for note in notes(content))],
    ]
    return "\n\n".join(block for section in sections for block in section) + "\n"


def fenced(text: str, language: str = "") -> str:
    """Return text unchanged in a code fence longer than any in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _head(content: Content) -> list[str]:
    facts = {
        "Base model": content.runs[0].model,
        "Data": content.runs[0].data,
        "Reference": content.reference,
        "Seeds": ", ".join(map(str, content.seeds)) or "none",
        "Steps": ", ".join(map(str, content.steps)) or "none",
    }
    return [
        f"# {escaped(content.title)}",
        "\n".join(f"- {name}: {escaped(value)}" for name, value in facts.items()),
    ]


def _short(content: Content, opening: Sequence[ReportFigure]) -> list[str]:
    sentences = filter(None, (content.unfinished, content.conclusion))
    return ["## In short", *map(escaped, sentences), *(block for figure in opening for block in _picture(figure))]


def _findings(content: Content, forests: Sequence[ReportFigure]) -> list[str]:
    blocks = ["## What it shows"]
    for question in questions(content):
        blocks.append(f"### {escaped(question.text)}")
        blocks.append("\n".join(line for answer in question.answers for line in _answer(answer, "")))
    return blocks + [block for forest in forests for block in _picture(forest)]


def _answer(answer: Answer, indent: str) -> list[str]:
    """Return a line for an answer, with indented lines for the comparisons that it sums up."""
    line = f"{indent}- **{answer.word}**: {escaped(answer.text)}"
    return [line, *(inner for detail in answer.details for inner in _answer(detail, f"{indent}  "))]


def _spread_said(content: Content) -> str:
    return (
        "Losses in nats a token, mean over seeds; ± is the sample standard deviation over seeds. The late "
        "training loss is that of the last quarter of the steps. The table's differences are relative to "
        f"{escaped(content.reference)}."
    )


def _forgetting(content: Content) -> list[str]:
    rows = [[escaped(cell) for cell in row] for row in forgetting_rows(content.summary)]
    return ["### Forgetting", markdown_rows(rows).rstrip(), FORGETTING] if rows else []


def _picture(figure: ReportFigure | None) -> list[str]:
    if figure is None:
        return []
    return [
        f"![{escaped(figure.title)}. {escaped(figure.description)}]({figure.file})",
        f"*{figure.title}.* {figure.caption}",
    ]


def _inside(content: Content, figures: Figures) -> list[str]:
    """Return the means over layers; the heat maps show how layers differ."""
    measures = shown(content.inspected)
    if not measures:
        return []
    rows = [["mean over layers", *map(escaped, content.inspected)]]
    for measure in measures:
        means = [entry.over_layers(measure.key)[0] for entry in content.inspected.values()]
        rows.append([measure.title, *(measure.said(mean) for mean in means)])
    for title, shares in replacements(content.inspected):
        rows.append([title, *(f"{share} {error}".rstrip() for share, error in shares)])
    for title, cells in chip_rows(content.inspected):
        rows.append([title, *(escaped(f"{said} {more}".rstrip()) for said, more in cells)])
    blocks = ["## Inside the adapters", markdown_rows(rows).rstrip()]
    if inspected_on(content):
        blocks.append(inspected_on(content).strip())
    return blocks + [
        block for figure in (figures.spectra, *figures.maps, *figures.more_maps) for block in _picture(figure)
    ]


def _circuits(content: Content) -> list[str]:
    blocks = ["## Circuits"] if content.circuits else []
    for circuit, methods, trained in content.circuits:
        untrained = "" if trained else " (angles not trained)"
        blocks += [f"{', '.join(map(escaped, methods))}{untrained}:", fenced(circuit_text(circuit))]
    return blocks


def _answers(content: Content) -> list[str]:
    found = answers(content)
    blocks = ["## Example answers"] if found else []
    for prompt, reference, generated in found:
        blocks += [fenced(prompt), f"Reference answer: {escaped(reference)}"]
        blocks.append("\n".join(f"- **{escaped(name)}**: {escaped(text) or '*empty*'}" for name, text in generated))
    return blocks


def _how(content: Content, search: ReportFigure | None) -> list[str]:
    blocks = ["## How it was run"]
    if content.command:
        blocks += ["### Command", fenced(content.command, "sh")]
    found = rates(content)
    if found:
        header = ["method", "peak learning rate", "where it comes from"]
        blocks += [
            "### Learning rates",
            markdown_rows([header, *([escaped(cell) for cell in row] for row in found)]).rstrip(),
        ]
    if content.search:
        blocks += [SEARCHED, _searched(content), *_picture(search)]
    if content.environment:
        rows = [["", "value"], *([escaped(name), escaped(value)] for name, value in environment(content).items())]
        blocks += ["### Environment", markdown_rows(rows).rstrip()]
    if content.config_yaml:
        blocks += ["### Configuration", fenced(content.config_yaml, "yaml")]
    return blocks


def _searched(content: Content) -> str:
    """Return validation losses by method and rate, the best rate's in bold, then the chosen rate and its shortfall."""
    tried: Sequence[float] = sorted({rate for entry in content.search for rate in entry.losses})
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
    return markdown_rows(rows).rstrip()
