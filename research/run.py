"""Try candidates on the proxy: configs/research-dialogue.yaml, its validation rows, the seeds given.

    python -m research.run basis basis_quantum --seeds 0 1
    python -m research.run --list

Each outcome is added to docs/results/research-candidates.json; what is there is not run again.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from qweft.adapter import find_bases
from qweft.cli.compare import COMMAND
from qweft.cli.parser import parse
from qweft.comparison.adapters import put_on, take_off
from qweft.comparison.config import ComparisonConfig
from qweft.data.batches import Collator
from qweft.data.load import load_data
from qweft.errors import QweftError
from qweft.evaluation.loss import held_out_loss
from qweft.files import write_json
from qweft.method.stated import as_recorded
from qweft.models.load import load_model
from qweft.training.callbacks import ALONE
from qweft.training.loop import DivergedError, fit
from research.builders import Candidate
from research.candidates import CANDIDATES
from research.changes import count
from research.optimizing import Optimizing, Parts

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs/research-dialogue.yaml"
RESULTS = ROOT / "docs/results/research-candidates.json"


def tried(loaded: Any, data: Any, training: Any, candidate: Candidate, rate: float, seed: int) -> dict[str, Any]:
    """Train one, and judge it on the validation rows."""
    pad = loaded.tokenizer.pad_token_id
    part_rates = {part: rate * factor for part, factor in candidate.part_rates.items()}
    budget = replace(
        training, learning_rate=rate, seed=seed, learning_rates=part_rates, basis_rows=candidate.basis_rows
    )
    set_seed(seed)
    model = put_on(loaded.model, as_recorded(candidate.adapter), budget.max_steps)
    try:
        if candidate.change is not None:
            order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed))
            rows = [data.train[place] for place in order[: budget.basis_rows].tolist()]
            batches = [Collator(pad)(rows[at : at + 4]) for at in range(0, len(rows), 4)]
            find_bases(model, batches)
            candidate.change(model, batches)
        size = count(model.parameters())
        try:
            beside = Optimizing(parts=Parts(candidate.decay, candidate.constant)) if candidate.optimizes else ALONE
            fitted = fit(model, data.train, pad, budget, "training", beside)
        except DivergedError:
            return {"trained_parameters": size, "validation_loss": None}
        found = held_out_loss(model, data.validation, pad, 16)
        return {"trained_parameters": size, "train_loss": fitted.train_loss, "validation_loss": found.loss}
    finally:
        take_off(model, candidate.adapter)


def main() -> None:
    """Train the candidates that were not tried before, and add what came out to the results."""
    parser = argparse.ArgumentParser(description="Try candidates on the proxy.")
    parser.add_argument("names", nargs="*", help="candidates; none means all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, help="optimizer steps; the config's unless given")
    parser.add_argument("--train-rows", type=int, help="rows to train on; the config's unless given")
    parser.add_argument("--rates", type=float, nargs="+", help="learning rates; the candidate's own unless given")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--list", action="store_true", help="name the candidates")
    given = parser.parse_args()
    if given.list:
        for name, candidate in CANDIDATES.items():
            print(f"{name:22}{candidate.expected}")
        return
    unknown = [name for name in given.names if name not in CANDIDATES]
    if unknown:
        sys.exit(f"there is no candidate {unknown[0]}; there are {', '.join(CANDIDATES)}")
    config = parse(ComparisonConfig, [str(CONFIG)], COMMAND)
    loaded = load_model(config.model)
    rows = given.train_rows or config.data.train_rows
    data = load_data(replace(config.data, train_rows=rows), loaded.tokenizer)
    training = replace(config.training, max_steps=given.steps or config.training.max_steps)
    for name in given.names or CANDIDATES:
        candidate = CANDIDATES[name]
        for seed in given.seeds:
            for rate in given.rates or candidate.rates:
                run = {"candidate": name, "rate": rate, "seed": seed, "steps": training.max_steps}
                run |= {"train_rows": given.train_rows} if given.train_rows else {}
                kept = json.loads(given.output.read_text()) if given.output.is_file() else []
                asked = run | {"train_rows": given.train_rows}
                if any(all(entry.get(key) == value for key, value in asked.items()) for entry in kept):
                    continue
                started = time.perf_counter()
                try:
                    outcome = tried(loaded, data, training, candidate, rate, seed)
                except QweftError as error:
                    sys.exit(f"{name}: {error}")
                run |= {"adapter": candidate.adapter, **outcome, "seconds": round(time.perf_counter() - started, 1)}
                kept = json.loads(given.output.read_text()) if given.output.is_file() else []
                write_json(given.output, [*kept, run])
                print(
                    f"{name}, seed {seed}, rate {rate:g}: {outcome['validation_loss']} "
                    f"({outcome['trained_parameters']:,} parameters, {run['seconds']} s)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
