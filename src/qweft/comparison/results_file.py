"""The results file of a comparison: found, read, and held against what was stated before the first results."""

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from qweft.comparison.judge.statistics import SEEDS_NEEDED
from qweft.core.errors import QweftError
from qweft.core.records import read_record, write_record
from qweft.core.text import shorten

RESULTS = "results.json"
OF_REPORT = (RESULTS, "report.md", "report.html")
PLAN = "plan.json"
"""Margin, reference, seeds and methods, as they were at the first results."""
WINNER = "winner"
"""Folder of the winner's adapter, in the output folder of a comparison."""


def read_results(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the path of a comparison's results file, given it or its folder, and its content."""
    file = path / RESULTS if path.is_dir() else path
    record = read_record(file, "give the folder that qweft compare wrote")
    if not isinstance(record.get("runs"), list):
        raise QweftError(f"{file}: not the results of a comparison, which have a list of runs; give a {RESULTS}")
    return file, record


@contextmanager
def reading(file: Path | str) -> Iterator[None]:
    """Name the file in errors about its content, which may show in any of the functions that draw it."""
    try:
        yield
    except (QweftError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
        reason = shorten((str(error).splitlines() or [""])[0], 300)
        raise QweftError(
            f"{file}: not well formed ({reason}); run its comparison again, which makes it anew of the finished runs"
        ) from error


def check_free_of_others(folder: Path, wrote: str, keys: Set[str], names: Sequence[str]) -> None:
    """Raise if one of the named files is in an output folder and not of this command, whose record is the first one."""
    there = [name for name in names if os.path.lexists(folder / name)]
    if not there:
        return
    with suppress(QweftError):
        if keys <= read_record(folder / names[0], "remove it").keys():
            return
    raise QweftError(
        f"output {folder} holds {there[0]}, and no {wrote} wrote it or it is damaged; choose another --output, or "
        "remove it"
    )


def stated(folder: Path, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan, and that of the first results in its folder, kept there: only what stood before decides."""
    path = folder / PLAN
    if not os.path.lexists(path):
        write_record(path, dict(plan))
        return {"plan": plan}
    first = read_record(path, f"remove it, and with it the runs in {folder}")
    changed = {key: first[key] for key in plan if key in first}
    return {"plan": plan, **({} if changed == plan else {"first_plan": changed})}


def changed_said(results: Mapping[str, Any]) -> str:
    """Return the sentence on what was changed after the first results; empty if nothing was."""
    now, first = results.get("plan") or {}, results.get("first_plan") or {}
    changed = [key for key in now if key in first and now[key] != first[key]]
    if "methods" in changed and len(first["methods"]) < 2:
        changed.remove("methods")
    if "seeds" in changed and len(first["seeds"][-1]) < SEEDS_NEEDED:
        changed.remove("seeds")
    parts = [f"{key} ({_plain(first[key])}, now {_plain(now[key])})" for key in changed]
    return f"Changed after the first results, which p does not allow for: {', '.join(parts)}." if parts else ""


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value[-1] if isinstance(value[-1], list) else value))
    return "none" if value is None else str(value)
