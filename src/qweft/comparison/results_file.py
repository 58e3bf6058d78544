"""The results file of a comparison: found, read, and checked before a report is made of it."""

import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qweft.claims import EARLIER, keep_earlier
from qweft.comparison.results import BASE, Run
from qweft.comparison.statistics import SEEDS_NEEDED
from qweft.errors import QweftError
from qweft.records import read_record
from qweft.text import listed

RESULTS = "results.json"
REPORT = "report.html"
WRITTEN = (RESULTS, "report.md", REPORT)
MAPS = (
    "effective_rank_token", "effective_rank_input", "effective_rank_output", "different_maps", "varying_share",
    "relative_size", "non_affinity", "circuit_share", "circuit_share_varying", "linear_share", "entanglement",
    "expressibility", "gradient_norms_circuit", "gradient_norms_tensor_network", "gradient_norms_linear",
)  # fmt: skip
FIGURES = (
    "differences.png", "differences_others.png", "loss_curves.png", "loss_curves_apart.png", "loss_by_size.png",
    "loss_by_time.png", "learning_rates.png", "spectra.png", *(f"map_{name}.svg" for name in MAPS),
)  # fmt: skip
"""Names of the figures that a report writes beside itself."""
MARGIN, REFERENCE, SEEDS = "margin_before", "reference_before", "seeds_before"
"""Keys of the margin, the reference and the seeds of the first results, where they were others."""
PLANNED = "planned_seeds"
"""Key of the seeds at each look that was planned."""
METHODS, PLANNED_METHODS = "methods_before", "planned_methods"
"""Keys of the methods of the first results, where they were others, and of those now."""
WINNER = "winner"
"""Folder of the winner's adapter, in the output folder of a comparison."""
MOST_BYTES = 256 * 2**20
"""Largest results file that is read: some five million losses of rows."""


def check_results(path: Path) -> None:
    """Check that a path holds the results of a comparison, and each of its runs."""
    file, record = read_results(path)
    with reading(file):
        for run in record["runs"]:
            Run.from_json(run)


def read_results(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the path of a comparison's results file, and its content."""
    file = path / RESULTS if path.is_dir() else path
    if not os.path.lexists(file):
        what = f"no {RESULTS} in it" if path.is_dir() else "no such file or folder"
        raise QweftError(f"{path}: {what}; give a {RESULTS}, or the folder that qweft compare wrote")
    record = read_record(file, f"give a {RESULTS} of qweft compare", MOST_BYTES)
    if not isinstance(record.get("runs"), list):
        raise QweftError(f"{file}: not the results of a comparison, which have a list of runs; give a {RESULTS}")
    return file, record


def check_free_of_others(folder: Path) -> None:
    """Check that the report of a comparison would replace no file of another program."""
    there = next((path.name for path in _written(folder)), None)
    if there is None:
        return
    try:
        read_results(folder)
    except QweftError as error:
        raise QweftError(
            f"output {folder} holds {there}, and no comparison wrote it or it is damaged; choose another --output, or "
            "remove it"
        ) from error


def _written(folder: Path) -> list[Path]:
    """Return what of a report is in a folder, the results first."""
    return [folder / name for name in (*WRITTEN, *FIGURES) if os.path.lexists(folder / name)]


def first_stated(
    folder: Path,
    methods: Collection[str],
    looks: Sequence[Collection[int]],
    margin: float | None,
    reference: str,
) -> dict[str, float | str | list[str] | list[list[int]] | None]:
    """Return the plan, and margin, reference, seeds and methods of the first results where they were others."""
    planned, names = [sorted(seeds) for seeds in looks], sorted(methods)
    plan: dict[str, float | str | list[str] | list[list[int]] | None] = {PLANNED: planned, PLANNED_METHODS: names}
    record = _first_results(folder, {(method, str(seed)) for method in methods for seed in looks[-1]})
    if record is None:
        return plan
    entries = record.get("summary")
    stated = next(iter(entries.values()), None) if isinstance(entries, dict) else None
    stated = stated if isinstance(stated, dict) else {}
    first = record.get(MARGIN, stated.get("equivalent_within", margin))
    other = record.get(REFERENCE, stated.get("reference", reference))
    begun = record.get(SEEDS, record.get(PLANNED, planned))
    had: Any = record.get(METHODS)
    if not _are_names(had) or len(had) < 2:  # one method alone compares nothing, so none was chosen by results
        had = record.get(PLANNED_METHODS, names)
    return {
        **plan,
        **({MARGIN: first} if _is_margin(first) and first != margin else {}),
        **({REFERENCE: other} if isinstance(other, str) and other != reference else {}),
        **({SEEDS: begun} if _are_seeds(begun) and begun != planned else {}),
        **({METHODS: had} if _are_names(had) and had != names else {}),
    }


def _first_results(folder: Path, wanted: Collection[tuple[str, str]]) -> dict[str, Any] | None:
    """Return the first results that have runs of a comparison which are still in its folder; `None` without any."""
    aside = sorted((folder / EARLIER).glob("results-*"), key=lambda each: (len(each.name), each.name))
    for place in [*(each for each in aside if not each.is_symlink()), folder]:
        try:
            record = read_results(place)[1]
        except QweftError:  # there are none
            continue
        shared = _runs_of(record) & {*wanted}
        if shared and (place == folder or any(_is_kept(folder, record, *run) for run in shared)):
            return record
    return None


def _is_kept(folder: Path, record: Mapping[str, Any], method: str, seed: str) -> bool:
    """Whether a run of results that were set aside is the one in the folder, and not one made anew."""
    try:
        there = read_record(folder / f"{method}-{seed}" / "run.json", "").get("run")
    except QweftError:
        return False
    same = ("method", "seed", "started", "steps", "eval_loss")
    return isinstance(there, dict) and any(
        all(run.get(key) == there.get(key) for key in same) for run in record["runs"] if isinstance(run, dict)
    )


def _are_names(value: object) -> bool:
    """Whether a value is the names of some methods."""
    return isinstance(value, list) and bool(value) and {*map(type, value)} == {str}


def _are_seeds(value: object) -> bool:
    """Whether a value is the seeds of each of some looks."""
    looks = value if isinstance(value, list) else []
    return bool(looks) and all(isinstance(each, list) and each and {*map(type, each)} == {int} for each in looks)


def _is_margin(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf)


def changed_said(results: Mapping[str, Any]) -> str:
    """Return the sentences on a margin, a reference, methods or seeds that were changed after the first results."""
    said = []
    if MARGIN in results and _is_margin(first := results[MARGIN]):
        was = "no margin of equivalence" if first is None else f"a margin of equivalence of {first:g}%"
        said.append(f"The first results had {was}; it was changed after them.")
    if REFERENCE in results:
        said.append(f"The first results compared with {results[REFERENCE]}; the reference was changed after them.")
    if _are_names(results.get(METHODS)) and _are_names(results.get(PLANNED_METHODS)) and len(results[METHODS]) > 1:
        first, now = {*results[METHODS]}, {*results[PLANNED_METHODS]}
        parts = ((now - first, "added"), (first - now, "left out"))
        changed = " and ".join(f"{listed(sorted(names))} {how}" for names, how in parts if names)
        said.append(f"After the first results methods changed: {changed}. p is corrected for the questions of now.")
    if _are_seeds(results.get(SEEDS)) and _are_seeds(results.get(PLANNED)) and len(results[SEEDS][-1]) >= SEEDS_NEEDED:
        counts, others = _counts_said(results[SEEDS]), _counts_said(results[PLANNED])
        what = f"with {counts}, these with {others}" if counts != others else "with other seeds"
        said.append(f"The first results were planned {what}; the p-values do not allow for this second look.")
    return " ".join(said)


def _counts_said(looks: Sequence[Sequence[int]]) -> str:
    """Return the numbers of seeds at some looks as text.

    >>> _counts_said([[0]]), _counts_said([[0, 1], [0, 1, 2, 3]])
    ('1 seed', '2 and 4 seeds')
    """
    counts = [str(len(seeds)) for seeds in looks]
    return f"{listed(counts)} seed{'' if counts == ['1'] else 's'}"


def make_room(
    folder: Path,
    methods: Collection[str],
    seeds: Collection[int],
    later: Collection[int],
    tell: Callable[[str], object],
) -> bool:
    """Rename the results of another comparison, which has runs that this one does not make, and the winner of them."""
    others, recommended = _others(folder, methods, {*seeds, *later})
    if others:
        winner = _winner(folder, recommended)
        files = _written(folder)[::-1]  # the results last: a report without them is refused
        aside = keep_earlier(folder, "results", [*winner, *files])
        what = "seeds" if {method for method, _ in others} <= {*methods} else "methods"
        tell(f"the earlier results{' and their winner' if winner else ''}, with other {what}, are now in {aside}")
    return not _others(folder, methods, seeds)[0]


def _others(folder: Path, methods: Collection[str], seeds: Collection[int]) -> tuple[set[tuple[str, str]], object]:
    """Return the runs of earlier results, method and seed, that are none of these, and what those recommend."""
    try:
        record = read_results(folder)[1]
    except QweftError:  # there are none, or a process beside this one has just moved them
        return set(), None
    own = {(method, str(seed)) for method in methods for seed in seeds}
    return _runs_of(record) - own, record.get("recommendation")


def _runs_of(record: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return method and seed of each run, without the base model's."""
    runs = [run for run in record["runs"] if isinstance(run, dict)]
    return {(str(run.get("method")), str(run.get("seed"))) for run in runs if run.get("method") != BASE}


def _winner(folder: Path, recommended: object) -> list[Path]:
    """Return the winner's folder if it holds the run that results recommend; one that does not may be the user's."""
    winner = folder / WINNER
    try:
        run = read_record(winner / "run.json", "").get("run")
    except QweftError:
        return []
    if winner.is_symlink() or not (isinstance(run, dict) and isinstance(recommended, dict)):
        return []
    return [winner] if all(run.get(key) == recommended.get(key) for key in ("method", "seed")) else []


@contextmanager
def reading(file: Path | str) -> Iterator[None]:
    """Name the file in errors about its content: an older record may lack fields, and a damaged one hold others."""
    try:
        yield
    except QweftError as error:
        raise QweftError(f"{file}: {error}; if an older qweft wrote it, run its comparison again") from error
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
        said = (str(error).splitlines() or [""])[0][:200]
        raise QweftError(
            f"{file}: not well formed ({type(error).__name__}: {said}); it was changed or damaged: run its comparison "
            "again, which makes it anew of the finished runs"
        ) from error
