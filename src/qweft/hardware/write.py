"""The folder that a robustness run leaves: numbers, plots, and a page of Markdown."""

from pathlib import Path

from qweft.files import write_bytes, write_json
from qweft.hardware.describe import table, words
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
        f"# {found.device} on {found.data}",
        "",
        f"Adapter {Path(found.adapter).name}: {found.measures}. {found.identity}.",
        "",
        *(f"- {line}" for line in words(found)),
        "",
        *_table(found),
        "",
        *(line for plate in made for line in (f"![{plate.title}]({plate.file})", "", plate.caption, "")),
        f"    {found.environment.get('command', '')}",
        "",
    ]
    write_bytes(folder / PAGE, "\n".join(lines).encode())
    return folder / PAGE


def _table(found: Robustness) -> list[str]:
    head, *rows = table(found)
    return [f"| {' | '.join(row)} |" for row in (head, ["---:"] * len(head), *rows)]


def _standing_alone(svg: str) -> str:
    """An element of a page as a file of its own."""
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" style="color: #222324" ', 1)
