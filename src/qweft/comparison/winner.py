"""The winner's adapter, which a comparison keeps, and the commands that use it."""

import filecmp
import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from qweft import yaml_file
from qweft.adapter.attach import adapter_config
from qweft.adapter.loading import read_header
from qweft.comparison.context import Context
from qweft.comparison.decision import Recommendation
from qweft.comparison.results import BASE, Run
from qweft.comparison.results_file import WINNER
from qweft.comparison.trial import ADAPTER, RECORD, read_record, run_folder
from qweft.comparison.workers import alone
from qweft.errors import QweftError
from qweft.exporting.config import Target
from qweft.exporting.gguf import check_convertible
from qweft.exporting.plan import plan_export
from qweft.files import folder_beside, write_bytes
from qweft.method.saved import WEIGHTS
from qweft.models.load import LoadedModel
from qweft.publish.card import run_card

FULL = "train.yaml"
"""The config that trains the winner in full."""
OWN = {ADAPTER, RECORD, FULL}
EXPORTS: dict[Target, str] = {"merged-gguf": "for llama.cpp", "merged": "for vLLM"}
"""Formats that hold any adapter that merges, and who reads them."""


def card_of(context: Context, runs: Sequence[Run], found: Recommendation) -> str | None:
    """Return the recommended adapter's model card: what it is, its data, training and losses, and why it was chosen."""
    of = {(run.method, run.seed): run for run in runs}
    chosen, folder = of[found.method, found.seed], run_folder(context.output, found.method, found.seed)
    base = next((run for run in runs if run.method == BASE), None)
    if base is None or not (folder / ADAPTER / WEIGHTS).is_file():
        return None
    saved = read_record(folder / RECORD)[0]
    record = {
        "config": saved["config"],
        "data": asdict(context.data.report),
        "model_origin": context.loaded.source.origin,
        "model_hub_id": context.loaded.source.hub_id,
        "trainable_parameters": chosen.trainable_parameters,
        "training": {"steps": chosen.steps, "train_loss": chosen.train_loss},
        "base": _loss_of(base),
        "adapted": _loss_of(chosen),
        "chosen": found.text,
    }
    shapes = {key: tuple(tensor.shape) for key, tensor in read_header(folder / ADAPTER / WEIGHTS).items()}
    return run_card(record, adapter_config(saved["config"]["adapter"]), shapes)


def _loss_of(run: Run) -> dict[str, float | int | None]:
    tokens = sum(count for _, count in run.eval_row_losses)
    loss, error = run.eval_loss, run.eval_standard_error
    return {"loss": loss, "perplexity": run.eval_perplexity, "standard_error": error, "tokens": tokens}


def keep_winner(
    output: Path, found: Recommendation, tell: Callable[[str], object], card: str | None = None
) -> Path | None:
    """Copy the winner to OUTPUT/winner unless a user's files are there; return its adapter's folder, if it has one."""
    run, winner = run_folder(output, found.method, found.seed), output / WINNER
    if not (run / ADAPTER).is_dir():
        return None
    with alone(output):
        stays = os.path.lexists(winner) and not _is_untouched(output, winner)  # before the card changes
        if card is not None:
            write_bytes(run / ADAPTER / "README.md", card.encode())
        if stays:
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


def commands_for(adapter: Path, loaded: LoadedModel | None = None) -> list[str]:
    """Return lines with the commands that use an adapter, and train a winner in full; with the exports that it has."""
    place = named = shlex.quote(str(adapter))
    lines, comparison = [], adapter.parent.parent
    if adapter.parent.name == WINNER:
        named = shlex.quote(f"{comparison.resolve().name}={adapter}")  # two winners do not share one name
        lines.append(f"train it in full: qweft train --from {shlex.quote(str(comparison))}")
    lines += [f"talk with it: qweft chat {place}", f"serve it: qweft serve {named}"]
    for to, reader in EXPORTS.items():
        with suppress(QweftError, AttributeError, KeyError, TypeError):  # of a config that no check foresaw
            plan_export(adapter, {"to": to})
            if to == "merged-gguf" and loaded is not None:
                check_convertible(loaded.model, loaded.tokenizer)
            lines.append(f"{reader}: qweft export {place} --to {to}")
    return lines
