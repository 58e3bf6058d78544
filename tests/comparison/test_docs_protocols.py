"""What docs/protocols.md says of the small protocols is what the raw results give."""

import json
from pathlib import Path

import pytest

from qweft.cli.parser import parse
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.results import Run
from qweft.comparison.summarise import summarise
from qweft.comparison.table import forgetting_rows
from qweft.evaluation.outcome import _cells, _named
from qweft.evaluation.scores import Compared, Score

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
PAGE = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
COMPARED = sorted(path.stem for path in RESULTS.glob("protocol-small-*.json"))
EVALUATED = sorted(path.stem for path in RESULTS.glob("protocol-evaluation-*.json"))


def raw(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def runs_of(name):
    return [Run.from_json(record) for record in raw(name)["runs"]]


def loss_row(run):
    train = "" if run.late_train_loss is None else f"{run.late_train_loss:.3f}"
    loss = f"{run.eval_loss:.4f} ± {run.eval_standard_error:.4f}"
    return f"| {run.method} | {run.trainable_parameters:,} | {train} | {loss} |"


@pytest.mark.parametrize("name", COMPARED)
def test_the_losses(name):
    assert "\n".join(map(loss_row, runs_of(name))) in PAGE


def test_the_hybrids_training_loss_beside_loras():
    found = {run.method: run.late_train_loss for run in runs_of("protocol-small-dialogue")}
    rises = [100 * (found[method] / found["lora"] - 1) for method in ("qtha", "qwthn")]
    assert "hybrids' training loss is {:.0f}% and {:.0f}% above it".format(*rises) in " ".join(PAGE.split())


def test_the_forgetting():
    table = forgetting_rows(summarise(runs_of("protocol-small-reasoning")))
    assert "\n".join(f"| {' | '.join(row)} |" for row in table[1:]) in PAGE


@pytest.mark.parametrize("name", EVALUATED)
def test_the_scores(name):
    rows = []
    for each in raw(name)["scores"]:
        numbers = {key: Score(**each[key]) for key in ("base", "adapted", "difference")}
        score = Compared(each["name"], **numbers, unit=each["unit"], note=each["note"])
        rows.append(f"| {' | '.join([_named(score), *_cells(score), str(score.base.rows)])} |")
    assert "\n".join(rows) in PAGE


def test_how_answers_ended():
    flat = " ".join(PAGE.split())
    answers = raw("protocol-evaluation-reasoning-lora")["answers"]
    base, adapted = ([each["generated"][which] for each in answers] for which in ("base", "adapted"))
    cut, cut_before = (sum(each["is_cut"][which] for each in answers) for which in ("adapted", "base"))
    written, before = (sum("=" in text for text in texts) for texts in (adapted, base))
    assert f"{written} of its {len(answers)} write the sum out ({before} of the base model's)" in flat
    assert f"{cut} are cut after 48 tokens ({cut_before}), and {adapted.count('')} are empty (none)" in flat
    assert "" not in base


def test_how_answers_in_dialogues_ended():
    cut = {}
    for method in ("lora", "qtha"):
        answers = raw(f"protocol-evaluation-dialogue-{method}")["answers"]
        cut["base"], cut[method] = (sum(each["is_cut"][which] for each in answers) for which in ("base", "adapted"))
    said = (
        f"of {len(answers)}, {cut['base']} of the base model's are cut after 24 tokens, {cut['qtha']} of qtha's, "
        f"{cut['lora']} of LoRA's"
    )
    assert said in " ".join(PAGE.split())


@pytest.mark.parametrize("name", COMPARED)
def test_the_runs_are_those_of_the_config(name):
    config = parse(ComparisonConfig, [str(ROOT / "configs" / "protocols" / f"{name.removeprefix('protocol-')}.yaml")])
    runs = runs_of(name)
    assert [run.method for run in runs] == ["base", *config.methods] and {run.seed for run in runs} == {*config.seeds}
    assert all(run.adapter == config.methods[run.method].adapter for run in runs[1:])
    assert {len(run.eval_row_losses) for run in runs} == {config.data.test_rows}
    assert {run.learning_rate for run in runs[1:]} == {config.training.learning_rate}
