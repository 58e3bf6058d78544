"""How far a run that decides depends on test rows that were looked at before.

    python -m research.overlap readout
    python -m research.overlap sparse
    python -m research.overlap again

Its rows are split anew from the same dialogues: some of its test rows were validation rows of the proxy (or those by
which an earlier run chose rates), or test rows of a run before it. The differences that
docs/research.md gives, without these.
"""

import argparse
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from qweft.cli.compare import COMMAND
from qweft.cli.parser import parse
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.pairing import paired
from qweft.comparison.results import Run
from qweft.comparison.summary import Summary, summarise
from qweft.data.load import load_data
from qweft.models.load import load_tokenizer
from qweft.models.resolve import resolve

ROOT = Path(__file__).parents[1]
PROXY = "dialogue"
"""Its config is the proxy's, too, with the rows by which candidates were chosen."""
BEFORE = {"readout": ["dialogue"], "sparse": ["dialogue", "readout"], "again": ["dialogue", "readout", "sparse"]}
"""The runs that came before each."""
ALSO_VALIDATED = {"again": ["readout", "sparse"]}
"""Runs whose validation rows count beside the proxy's: by one of them the rates were chosen."""
PAIRS = {
    "readout": [("readout_2", other) for other in ("lora", "lora_small", "lora_down", "lora_same")],
    "sparse": [("sparse", other) for other in ("lora", "lora_small", "lora_down", "lora_fifth")],
    "again": [("sparse", other) for other in ("lora", "lora_small", "lora_down")],
}


def without(record: dict[str, Any], rows: Collection[int]) -> dict[str, Summary]:
    """The comparison as it would be with those test rows left out."""
    runs = []
    for run in record["runs"]:
        kept = [place for place in range(len(run["eval_row_losses"])) if place not in rows]
        losses = [run["eval_row_losses"][place] for place in kept]
        groups = [run["eval_row_groups"][place] for place in kept]
        mean = sum(loss for loss, _ in losses) / sum(tokens for _, tokens in losses)
        runs.append(Run.from_json(run | {"eval_row_losses": losses, "eval_row_groups": groups, "eval_loss": mean}))
    return summarise(runs, "lora")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A run that decides, without test rows that were looked at before.")
    parser.add_argument("run", choices=list(PAIRS))
    name = parser.parse_args(argv).run
    configs = {
        run: parse(ComparisonConfig, [str(ROOT / "configs" / f"research-{run}.yaml")], COMMAND)
        for run in [name, *BEFORE[name]]
    }
    tokenizer = load_tokenizer(resolve(configs[name].model))
    data = {run: load_data(config.data, tokenizer) for run, config in configs.items()}
    chosen_by = [PROXY, *ALSO_VALIDATED.get(name, [])]
    looked_at = [
        [row for run in chosen_by for row in data[run].validation],
        [row for run in BEFORE[name] for row in data[run].test],
    ]
    test = [tuple(row["input_ids"]) for row in data[name].test]
    seen = [{tuple(row["input_ids"]) for row in part} for part in looked_at]
    validated, tested = ({place for place, row in enumerate(test) if row in part} for part in seen)
    record = json.loads((ROOT / f"docs/results/research-{name}.json").read_text())
    for what, rows in {"validation rows": validated, "test rows": tested, "either": validated | tested}.items():
        print(f"without the {len(rows)} that were {what}, {len(test) - len(rows)} rows:")
        summary = without(record, rows)
        for method, other in PAIRS[name]:
            found = paired(summary[method], summary[other])
            low, high = found.interval or (float("nan"), float("nan"))
            print(f"  {method} against {other}: {found.mean:+.2f}% [{low:+.2f}, {high:+.2f}]")


if __name__ == "__main__":
    main()
