"""How far a run that decides depends on test rows that were looked at before.

    python -m research.overlap readout
    python -m research.overlap sparse
    python -m research.overlap again
    python -m research.overlap second-model
    python -m research.overlap decide
    python -m research.overlap long-60
    python -m research.overlap thousand
    python -m research.overlap rivals
    python -m research.overlap gate-2
    python -m research.overlap budget

Its rows are of the same dialogues: some of its test rows were validation rows of the proxy (or those by
which an earlier run chose rates), or test rows of a run before it. The differences that
docs/research.md gives, without these; of configs/decide.yaml the verdicts in docs/results.md. configs/budget.yaml is
held against the front on sentences, which chose its pairs and rates. Rows are known
again by their text, whatever tokens and template a model has; of the second model the tokenizer is needed, and so its
package.
"""

import argparse
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from qweft.cli.compare import COMMAND
from qweft.cli.parser import parse
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.phrases import effect_said
from qweft.comparison.results import Run
from qweft.comparison.statistics import ONCE, Look, paired
from qweft.comparison.summarise import summarise
from qweft.comparison.summary import Summary
from qweft.data.load import load_data
from qweft.models.load import load_tokenizer
from qweft.models.resolve import resolve
from research import front

ROOT = Path(__file__).parents[1]
PROXY = "dialogue"
"""Its config is the proxy's, too, with the rows by which candidates were chosen."""
BEFORE = {"readout": ["dialogue"], "sparse": ["dialogue", "readout"], "again": ["dialogue", "readout", "sparse"]}
BEFORE["second-model"] = [*BEFORE["again"], "again"]
BEFORE["decide"] = BEFORE["second-model"]
BEFORE["long-60"] = [*BEFORE["decide"], "decide"]
BEFORE["thousand"] = [*BEFORE["long-60"], "long-60"]
BEFORE["rivals"] = [*BEFORE["thousand"], "thousand"]
BEFORE["gate-2"] = [*BEFORE["rivals"], "rivals"]
BEFORE["budget"] = ["front-sentences"]
"""The runs that came before each."""
CHOSEN_BY = {
    run: [PROXY, "readout", "sparse"]
    for run in ("again", "second-model", "decide", "long-60", "thousand", "rivals", "gate-2")
}
CHOSEN_BY["budget"] = ["front-sentences"]
"""Runs whose validation rows count, where they are others than the proxy's: by one of them the rates were chosen."""
NAMED = ("decide", "long-60", "thousand", "rivals", "gate-2", "budget", "front-sentences")
"""Runs whose results bear their name alone."""
COMMANDS = {
    "long-60": ["long.yaml"],
    "front-sentences": [
        "front.yaml", "--data.source", "embedded:reasoning_gym:sentence_reordering", "--data.max_length", "96",
        "--data.train_rows", "2000", "--data.test_rows", "256",
    ],
}  # fmt: skip
"""The config of a run and its options, where the config has another name."""
CHARACTERS = 5
"""A bound on the characters of a dialogue for each token of its row, the template's included; the most is 4.2."""
PAIRS = {
    "readout": [("readout_2", other) for other in ("lora", "lora_small", "lora_down", "lora_same")],
    "sparse": [("sparse", other) for other in ("lora", "lora_small", "lora_down", "lora_fifth")],
    **{run: [("sparse", other) for other in ("lora", "lora_small", "lora_down")] for run in ("again", "second-model")},
    "decide": [("qtha", other) for other in ("mpo", "mlp_linear", "product_linear")],
    "long-60": [
        *((method, "lora") for method in ("lora_all", "lora_all_1", "sparse", "ia3")),
        ("qtha", "lora_1"),
        ("qtha", "mpo"),
        ("lora_all_1", "lora_all"),
        ("sparse", "lora_all_1"),
    ],
    "thousand": [("lora_all_1", "lora_all"), ("qtha", "mpo"), ("qtha", "lora_1"), ("ia3", "lora")],
    "rivals": [("sparse", other) for other in ("lora_all_1", "lora_down", "lora", "lora_1")],
    "gate-2": [("gate_2", other) for other in ("none", "mlp_2", "fourier_2", "product_2")],
    "budget": list(front.PAIRS.values()),
}
COMPARED = "dialogue"
"""The run in which qtha and its controls met before configs/decide.yaml; docs/results.md has its rows, too."""
LOOKS = [Look(level=0.025, seeds=tuple(range(6 * number)), number=number, planned=2) for number in (1, 2)]
"""The looks of configs/decide.yaml and configs/gate-2.yaml."""
JUDGED: dict[str, tuple[str, Sequence[Look]]] = {
    "decide": ("mpo", LOOKS),
    "gate-2": ("none", LOOKS),
    "rivals": ("sparse", (ONCE,)),
    "thousand": ("lora", (ONCE,)),
}
"""Reference and looks of the runs that state a margin, which is 0.5%."""


def without(record: dict[str, Any], rows: Collection[int], name: str = "") -> dict[str, Summary]:
    """The comparison as it would be with those test rows left out, with margin and looks if the run has them."""
    runs = []
    for run in record["runs"]:
        kept = [place for place in range(len(run["eval_row_losses"])) if place not in rows]
        losses = [run["eval_row_losses"][place] for place in kept]
        groups = [run["eval_row_groups"][place] for place in kept if run["eval_row_groups"]]  # none if rows are alone
        mean = sum(loss for loss, _ in losses) / sum(tokens for _, tokens in losses)
        runs.append(Run.from_json(run | {"eval_row_losses": losses, "eval_row_groups": groups, "eval_loss": mean}))
    if name in JUDGED:
        reference, looks = JUDGED[name]
        return summarise(runs, reference, 0.5, looks)
    return summarise(runs, "lora" if any(run.method == "lora" for run in runs) else "lora_r1")


def stem(run: str) -> str:
    """Return the name of a run's results."""
    return run if run in NAMED else f"research-{run}"


@cache
def texts(run: str) -> dict[str, list[str]]:
    """Read the validation and the test rows of a run, without what is the template's own.

    Neither depends on the training rows, so only one is read. A row of 64 tokens has fewer than 320 characters, so
    longer ones are left out before they are tokenised, and not after.
    """
    file, *options = COMMANDS.get(run, [f"{stem(run)}.yaml"])
    config = parse(ComparisonConfig, [str(ROOT / "configs" / file), *options], COMMAND)
    tokenizer = load_tokenizer(resolve(config.model))
    is_dialogue = config.data.source == "embedded:chitchat"
    short = CHARACTERS * config.data.max_length if is_dialogue and config.data.overlong == "drop" else None
    data = load_data(replace(config.data, train_rows=1, max_characters=short), tokenizer)
    return {
        part: [" ".join(re.sub(r"<[^>]*>", "", tokenizer.decode(row["input_ids"])).split()) for row in rows]
        for part, rows in (("validation", data.validation), ("test", data.test))
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Print the differences of a run without the rows that were looked at before it."""
    parser = argparse.ArgumentParser(description="A run that decides, without test rows that were looked at before.")
    parser.add_argument("run", choices=list(PAIRS))
    name = parser.parse_args(argv).run
    data = {run: texts(run) for run in [name, *BEFORE[name]]}
    chosen_by = CHOSEN_BY.get(name, [PROXY])
    test = data[name]["test"]
    seen = [
        {row for run in chosen_by for row in data[run]["validation"]},
        {row for run in BEFORE[name] for row in data[run]["test"]},
    ]
    validated, tested = ({place for place, row in enumerate(test) if row in part} for part in seen)
    record = json.loads((ROOT / f"docs/results/{stem(name)}.json").read_text())
    parts = {"validation rows": validated, "test rows": tested, "either": validated | tested}
    if name == "decide":
        before = set(data[COMPARED]["test"])
        parts = {"compared before": {place for place, row in enumerate(test) if row in before}} | parts
    for what, rows in parts.items():
        print(f"without the {len(rows)} that were {what}, {len(test) - len(rows)} rows:")
        summary = without(record, rows, name)
        for method, other in PAIRS[name]:
            found = paired(summary[method], summary[other])
            low, high = found.interval or (float("nan"), float("nan"))
            verdict = f", {found.direction}" if name in JUDGED else ""
            if found.direction == "not decided" and verdict and found.visible is not None:
                verdict += f" ({effect_said(found.visible)})"
            print(f"  {method} against {other}: {found.mean:+.2f}% [{low:+.2f}, {high:+.2f}]{verdict}")


if __name__ == "__main__":
    main()
