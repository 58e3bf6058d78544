"""The winner's adapter, which a comparison keeps, and the commands that use it."""

import filecmp
import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from qweft.claims import earlier_in, free_name
from qweft.comparison.claims import claimed
from qweft.comparison.decision import Recommendation
from qweft.comparison.results_file import WINNER
from qweft.comparison.trial import ADAPTER, RECORD, run_folder
from qweft.errors import QweftError
from qweft.exporting.checks import check_start
from qweft.exporting.config import Target
from qweft.exporting.gguf_model import check_convertible
from qweft.files import folder_beside, write_bytes
from qweft.models.load import LoadedModel
from qweft.models.quantization import quantized_as

OWN = {ADAPTER, RECORD}
"""What the winner's folder holds at first."""
EXPORTS: dict[Target, str] = {"merged-gguf": "for llama.cpp", "merged": "for vLLM"}
"""Formats that hold any adapter that can be exported, and who reads them."""


def keep_winner(output: Path, found: Recommendation, tell: Callable[[str], object]) -> Path | None:
    """Copy the winner's adapter and record to OUTPUT/winner, in place of an earlier one."""
    run = run_folder(output, found.method, found.seed)
    if not (run / ADAPTER).is_dir():
        return None
    names, winner = _files_of(run), output / WINNER
    with claimed(output) as ours:  # another process that has it copies the same
        if ours and _is_copied(run, winner, names[1:]):
            if not _is_copied(run, winner, names):  # what was made of the adapter stays
                write_bytes(winner / RECORD, (run / RECORD).read_bytes())
        elif ours:
            is_folder = winner.is_dir() and not winner.is_symlink()
            if os.path.lexists(winner) and not (is_folder and _is_as_kept(output, winner)):
                aside = free_name(earlier_in(output) / WINNER)
                winner.rename(aside)
                earlier = "the earlier winner, with what was changed in it or made of it,"
                is_made = is_folder and (aside / RECORD).is_file()
                tell(f"{earlier if is_made else f'{winner}, which no comparison made,'} is now {aside}")
            with folder_beside(winner) as folder:
                (folder / ADAPTER).mkdir()
                for name in names:
                    shutil.copy2(run / name, folder / name)
    return winner / ADAPTER


def _files_of(run: Path) -> list[Path]:
    """Return the record and the files of a run's adapter, below its folder."""
    found = (path for path in sorted((run / ADAPTER).iterdir()) if not path.name.startswith("."))
    names = [Path(RECORD), *(path.relative_to(run) for path in found)]
    for path in (run / ADAPTER, *(run / name for name in names)):
        if path.is_symlink() or not (path.is_file() or path == run / ADAPTER):
            raise QweftError(
                f"{path} is a link or no file, and is not copied; move it away, and give the command again"
            )
    return names


def _is_as_kept(output: Path, winner: Path) -> bool:
    """Whether the winner's folder holds nothing but a copy of what some run of the comparison holds."""
    if {path.name for path in winner.iterdir()} - OWN:
        return False
    for run in output.glob(f"*/{ADAPTER}"):
        with suppress(QweftError, OSError):  # a link in it, or no record: then it was not copied
            if run.parent != winner and _is_copied(run.parent, winner, _files_of(run.parent)[1:]):
                return True
    return False


def _is_copied(run: Path, winner: Path, names: Sequence[Path]) -> bool:
    """Whether the winner's folder holds these files of the run, so that nothing is changed under who reads it."""
    if winner.is_symlink() or any((winner / name).is_symlink() for name in (Path(ADAPTER), *names)):
        return False
    adapter = [name for name in names if name != Path(RECORD)]
    if not (winner / ADAPTER).is_dir() or len(list((winner / ADAPTER).iterdir())) != len(adapter):
        return False
    return not any(filecmp.cmpfiles(run, winner, list(map(str, names)), shallow=False)[1:])


def commands_for(adapter: Path, loaded: LoadedModel, quantization: str | None) -> list[str]:
    """Return lines with the commands that use a kept adapter: to talk with it, to serve it, and to export it."""
    place = shlex.quote(str(adapter))
    lines = [f"talk with it: qweft chat {place}", f"serve it: qweft serve {place}"]
    if quantization is None and quantized_as(loaded.model) is not None:
        return lines
    unrounded = "" if quantization is None else " --model.quantization none"
    for to, reader in EXPORTS.items():
        with suppress(QweftError, AttributeError, KeyError, TypeError):  # of a config that no check foresaw
            check_start(adapter, {"to": to, "model": {"quantization": None} if unrounded else {}})
            if to == "merged-gguf":
                check_convertible(loaded.model, loaded.tokenizer)
            lines.append(f"{reader}: qweft export {place} --to {to}{unrounded}")
    return lines
