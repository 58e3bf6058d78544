"""The folder that a robustness run leaves: numbers, plots, and a page of Markdown."""

from pathlib import Path

from qweft.files import write_bytes, write_json
from qweft.hardware.describe import legend, setting_name, table, title, words
from qweft.hardware.figures import plates
from qweft.hardware.outcome import Robustness

NUMBERS = "robustness.json"
PAGE = "robustness.md"


def write(found: Robustness, folder: Path) -> Path:
    """Write everything; returns the page's path."""
    write_json(folder / NUMBERS, found.to_json())
    made = plates(found)
    for plate in made:
        plate.write(folder)
        write_bytes(folder / f"{plate.name}.svg", _standing_alone(plate.svg()).encode())
    lines = [
        f"# {title(found)}",
        "",
        f"Adapter: {found.adapter}. Device: {found.identity}.",
        "",
        *(f"- {line}" for line in words(found)),
        "",
        *_table(found),
        "",
        legend(found),
        "",
        *(line for plate in made for line in (f"![{plate.title}]({plate.file})", "", plate.caption, "")),
        *_answers(found),
        f"    {found.environment.get('command', '')}",
        "",
    ]
    write_bytes(folder / PAGE, "\n".join(lines).encode())
    return folder / PAGE


def _table(found: Robustness) -> list[str]:
    head, *rows = table(found)
    return [f"| {' | '.join(row)} |" for row in (head, ["---:"] * len(head), *rows)]


def _answers(found: Robustness) -> list[str]:
    """Each prompt with its different answers, and the settings that gave them."""
    lines = []
    for number, (prompt, exact) in enumerate(zip(found.prompts, found.computed.answers, strict=True)):
        given: dict[str, list[str]] = {exact: ["computed"]}
        for scale in found.scales:
            for each in found.at(scale):
                given.setdefault(each.answers[number], []).append(setting_name(found, each.setting))
        lines += [f"**{_one_line(prompt)}**", ""]
        lines += [f"- {_one_line(answer)} ({'; '.join(where)})" for answer, where in given.items()]
        lines.append("")
    return lines


def _one_line(text: str) -> str:
    return " ".join(text.split()) or "(nothing)"


def _standing_alone(svg: str) -> str:
    """An element of a page as a file of its own."""
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" style="color: #222324" ', 1)
