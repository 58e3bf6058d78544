"""What docs/sweep.md says of its example is what the raw results give."""

import json
from pathlib import Path

from qweft.cli.parser import parse
from qweft.sweep.config import SweepConfig
from qweft.sweep.space import axes_of, said

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sweep.md").read_text()
FLAT = " ".join(PAGE.split())
RECORD = json.loads((ROOT / "docs" / "results" / "sweep.json").read_text())


def test_every_row_of_the_table_is_in_the_raw_results():
    for trial in RECORD["trials"]:
        mark = " *" if trial["number"] in RECORD["front"] else ""
        values = " | ".join(said(value) for value in trial["values"].values())
        loss = f"{trial['validation_loss']:.4f} ± {trial['standard_error']:.4f}"
        numbers = f"{trial['trainable_parameters']:,} | {trial['train_loss']:.3f} | {loss}"
        row = f"| {trial['number']}{mark} | {values} | {numbers} |"
        assert row in PAGE


def test_the_sentences_are_those_of_the_raw_results():
    test = RECORD["test"]
    assert f"The untouched model: {RECORD['base_validation_loss']:.4f}. Trial {RECORD['best']} is the best" in FLAT
    assert f"{test['adapted']:.4f} ± {test['standard_error']:.4f} (standard error" in FLAT
    assert f"untouched model {test['base']:.4f}" in FLAT
    by_loss = sorted(RECORD["trials"], key=lambda trial: trial["validation_loss"])
    by_rate = sorted(RECORD["trials"], key=lambda trial: -trial["learning_rate"])
    assert {trial["number"] for trial in by_loss[:4]} == {trial["number"] for trial in by_rate[:4]}


def test_the_configuration_is_that_of_the_results():
    config = parse(SweepConfig, [str(ROOT / "configs" / "sweep.yaml")])
    assert {axis.name: axis.describe() for axis in axes_of(config)} == RECORD["space"]
    assert config.trials == len(RECORD["trials"])
    assert max(trial["trainable_parameters"] for trial in RECORD["trials"]) <= config.max_parameters
