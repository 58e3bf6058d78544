"""The winner's adapter, which a comparison keeps, and the commands that use it."""

import filecmp
import os
import shlex
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from qweft.comparison.report.decision import Recommendation
from qweft.comparison.results_file import WINNER
from qweft.comparison.run.trial import ADAPTER, RECORD, read_record, run_folder
from qweft.comparison.run.workers import alone
from qweft.core import yaml_file
from qweft.core.errors import QweftError
from qweft.core.files import folder_beside, write_bytes
from qweft.exporting.config import Target
from qweft.exporting.plan import plan_export

FULL = "train.yaml"
"""The config that trains the winner in full."""
OWN = {ADAPTER, RECORD, FULL}
EXPORTS: dict[Target, str] = {"merged-gguf": "for llama.cpp", "merged": "for vLLM"}
"""Formats that hold any adapter that merges, and who reads them."""


def keep_winner(output: Path, found: Recommendation, tell: Callable[[str], object]) -> Path | None:
    """Copy the winner to OUTPUT/winner unless a user's files are there; return its adapter's folder, if it has one."""
    run, winner = run_folder(output, found.method, found.seed), output / WINNER
    if not (run / ADAPTER).is_dir():
        return None
    with alone(output):
        if os.path.lexists(winner) and not _is_untouched(output, winner):
            tell(f"{winner} was changed, or holds other files, and stays as it is; the winner is {run}")
            return run / ADAPTER
        config = read_record(run / RECORD)[0]["config"]  # for whole epochs in place of a number of steps
        config["training"] |= {"max_steps": None, "found_in_steps": config["training"]["max_steps"]}
        with folder_beside(winner) as folder:
            shutil.copytree(run / ADAPTER, folder / ADAPTER, ignore=shutil.ignore_patterns(".*"))
            shutil.copy2(run / RECORD, folder / RECORD)
            write_bytes(folder / FULL, yaml_file.dump({**config, "output": str(output / "trained")}).encode())
    return winner / ADAPTER


def _is_untouched(output: Path, winner: Path) -> bool:
    """Whether the winner's folder holds nothing but an unchanged copy of a run of this comparison."""
    with suppress(QweftError, OSError):
        run = read_record(winner / RECORD)[1]
        names = [f"{ADAPTER}/{path.name}" for path in (winner / ADAPTER).glob("[!.]*")]
        source, others = run_folder(output, run.method, run.seed), {path.name for path in winner.iterdir()} - OWN
        differing = filecmp.cmpfiles(source, winner, [*names, RECORD], shallow=False)[1:]
        return not (winner.is_symlink() or others or any(differing))
    return False


def commands_for(adapter: Path) -> list[str]:
    """Return lines with the commands that use an adapter, and train a winner in full; with the exports that it has."""
    place = named = shlex.quote(str(adapter))
    lines, comparison = [], adapter.parent.parent
    if adapter.parent.name == WINNER:
        named = shlex.quote(f"{comparison.resolve().name}={adapter}")  # two winners do not share one name
        lines.append(f"train it in full: qweft train --from {shlex.quote(str(comparison))}")
    lines += [f"talk with it: qweft chat {place}", f"serve it: qweft serve {named}"]
    for to, reader in EXPORTS.items():
        with suppress(Exception):  # whatever keeps it from an export
            plan_export(adapter, {"to": to})
            lines.append(f"{reader}: qweft export {place} --to {to}")
    return lines
