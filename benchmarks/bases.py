"""What fixed bases cost: the search before the first step, the adapter's file, and the loss, before and now.

    python -m benchmarks.bases                        (minutes: the search in steps, and bytes of the file)
    python -m benchmarks.bases --loss                 (half an hour of one core: adds paired trainings)

`sparse` on SmolLM2-135M in bfloat16, with the rows and batch of research/configs/research-again.yaml. "before"
has 32 directions in bfloat16, found on 16 rows; "now" is the preset as it is. Times are processor times of one thread.
"lora_down" is LoRA of rank 1 on down_proj with as many steps as fit into the processor time of "now", its search
included. Results go to benchmarks/results/fixed-bases-speed.json; a training that is there is not run again.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from qweft.adapter import find_bases
from qweft.adapter.attach import detach
from qweft.cli.parser import parse
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.methods import put_on
from qweft.core.files import write_json
from qweft.data.batches import Collator
from qweft.data.load import load_data
from qweft.evaluation.loss import held_out_loss
from qweft.models.load import load_model
from qweft.training.callbacks import ALONE
from qweft.training.loop import fit

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/fixed-bases-speed.json"
STEPS = 40
SEEDS = range(20, 23)
LINEAR = {"target_modules": "all-linear"}
METHODS: dict[str, tuple[dict[str, Any], int | None]] = {
    "before": ({"preset": "sparse", "width": 32, "basis_bits": 16, **LINEAR}, 16),
    "now": ({"preset": "sparse", **LINEAR}, None),
}
"""Each with its adapter and `training.basis_rows`."""
LORA = {"peft_type": "LORA", "r": 1, "target_modules": ["down_proj"]}


class Bench:
    """The model, its rows and the settings of all measurements."""

    def __init__(self) -> None:
        self.config = parse(ComparisonConfig, [str(ROOT / "research/configs/research-again.yaml")])
        self.loaded = load_model(self.config.model)
        self.data = load_data(self.config.data, self.loaded.tokenizer)
        self.pad = self.loaded.tokenizer.pad_token_id
        self.kept: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"trainings": []}

    def batches(self, start: int, rows: int) -> list[Any]:
        size = self.config.training.batch_size
        chosen = self.data.train[start : start + rows]
        return [Collator(self.pad)(chosen[at : at + size]) for at in range(0, rows, size)]

    def cost(self, adapter: dict[str, Any], rows: int | None, steps: int) -> dict[str, float]:
        """Seconds of the search and of a step (median), and bytes of the file after them."""
        training = replace(self.config.training, basis_rows=rows)
        model = put_on(self.loaded.model, adapter, STEPS)
        try:
            started = time.process_time()
            find_bases(model, self.batches(0, training.rows_for_bases()))
            search, taken = time.process_time() - started, []
            optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
            model.train()
            for step in range(steps + 1):
                (batch,) = self.batches(64 + 4 * step, training.batch_size)
                started = time.process_time()
                model(**batch).loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                taken.append(time.process_time() - started)
            with tempfile.TemporaryDirectory() as folder:
                model.save_pretrained(folder)
                size = (Path(folder) / "adapter_model.safetensors").stat().st_size
        finally:
            detach(model)
        return {"search_seconds": search, "step_seconds": statistics.median(taken[1:]), "file_bytes": size}

    def costs(self, rounds: int) -> dict[str, Any]:
        """All methods in turn, round by round; medians, and the search in steps of the same round."""
        found: dict[str, list[dict[str, float]]] = {name: [] for name in (*METHODS, "lora_down")}
        for _ in range(rounds):
            for name in found:
                found[name].append(self.cost(*METHODS.get(name, (LORA, None)), steps=5))
        return {
            name: {
                "search_in_steps": statistics.median(each["search_seconds"] / each["step_seconds"] for each in each_of),
                **{key: statistics.median(each[key] for each in each_of) for key in each_of[0]},
            }
            for name, each_of in found.items()
        }

    def train(self, name: str, adapter: dict[str, Any], rows: int | None, seed: int, steps: int) -> None:
        """Train once and add the loss on the validation rows to the results, unless it is there."""
        run = {"method": name, "seed": seed, "steps": steps}
        if any(all(each[key] == value for key, value in run.items()) for each in self.kept["trainings"]):
            return
        set_seed(seed)
        training = replace(self.config.training, max_steps=steps, learning_rate=8e-3, seed=seed, basis_rows=rows)
        model = put_on(self.loaded.model, adapter, steps)
        try:
            fitted = fit(model, self.data.train, self.pad, training, name, ALONE)
            loss = held_out_loss(model, self.data.validation, self.pad, 16).loss
        finally:
            detach(model)
        run |= {"adapter": adapter, "basis_rows": training.rows_for_bases(), "validation_loss": loss}
        self.kept["trainings"].append({**run, "train_loss": fitted.train_loss})
        write_json(RESULTS, self.kept)
        print(f"{name}, seed {seed}, {steps} steps: {loss:.4f}", flush=True)

    def compare(self) -> None:
        """Train every method on every seed, and say the paired differences to "now"."""
        costs = self.kept["costs"]
        now, other = costs["now"], costs["lora_down"]
        steps = round((now["search_seconds"] + STEPS * now["step_seconds"]) / other["step_seconds"])
        for seed in SEEDS:
            for name, (adapter, rows) in METHODS.items():
                self.train(name, adapter, rows, seed, STEPS)
            self.train("lora_down", LORA, None, seed, steps)
        losses = {(each["method"], each["seed"]): each["validation_loss"] for each in self.kept["trainings"]}
        for name in ("before", "lora_down"):
            differences = [losses["now", seed] - losses[name, seed] for seed in SEEDS]
            error = statistics.stdev(differences) / len(differences) ** 0.5
            self.kept[f"now_minus_{name}"] = {"mean": statistics.mean(differences), "standard_error": error}
            print(f"now - {name}: {statistics.mean(differences):+.4f}, standard error {error:.4f}")
        write_json(RESULTS, self.kept)


def main() -> None:
    """Measure the costs, and with --loss the trainings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loss", action="store_true", help="train each method on each seed")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the costs")
    given = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench()
    if given.rounds:
        costs = bench.costs(given.rounds)
        bench.kept |= {"costs": costs, "load_average": os.getloadavg()[0]}
        bench.kept["file_share"] = costs["now"]["file_bytes"] / costs["before"]["file_bytes"]
        write_json(RESULTS, bench.kept)
        print(json.dumps({key: bench.kept[key] for key in ("costs", "file_share", "load_average")}, indent=2))
    if given.loss:
        bench.compare()


if __name__ == "__main__":
    main()
