"""Writes and remakes the files of a report."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qweft.claims import claimed_output
from qweft.comparison.report.content import Content, figures
from qweft.comparison.report.page import page_of, render_markdown
from qweft.comparison.results_file import RESULTS, check_report, read_results, reading
from qweft.errors import QweftError
from qweft.files import write_bytes
from qweft.records import write_record
from qweft.text import plain, progress


@progress("writing the report")
def write_report(results: dict[str, Any], config_yaml: str, title: str, folder: Path) -> Path:
    """Write results.json, report.html, report.md and the figures as PNG, each file atomically."""
    record = {**results, "config_yaml": config_yaml} if config_yaml else results
    record = {**record, "title": title} if title else record
    content = Content.read(record)
    drawn = figures(content)
    # plain: `cat report.md` would else let a method's name control the terminal
    page, text = plain(page_of(content, drawn)), plain(render_markdown(content, drawn))
    write_record(folder / RESULTS, record)
    for section in drawn.values():
        for figure in section:
            figure.write(folder)
    write_bytes(folder / "report.md", text.encode())
    write_bytes(folder / "report.html", page.encode())
    return folder / "report.html"


def remake_report(source: Path, output: Path | None = None) -> Path:
    """Write the report again from saved results."""
    file, results = read_results(source)
    folder = file.parent if output is None else output
    if os.path.lexists(folder / RESULTS) and not _is_earlier(folder / RESULTS, results):
        raise QweftError(f"output {folder} holds the results of another comparison; choose another --output")
    if folder != file.parent:
        check_report(folder)
    with claimed_output(folder, "qweft report"):
        file, results = read_results(source)  # again: a comparison may have ended before the folder was claimed
        with reading(file):
            return write_report(results, "", "", folder)


def _is_earlier(there: Path, results: Mapping[str, Any]) -> bool:
    """Whether a file holds the same results, or those of fewer runs of the same comparison."""
    try:
        _, found = read_results(there)
        return all(run in results["runs"] for run in found["runs"])
    except (QweftError, LookupError, TypeError):
        return False
