"""Seeds are added until each question is decided: on a tiny model, from the command line to the report."""

import json
import shutil
from dataclasses import replace

import pytest

from qweft.comparison import runner
from qweft.comparison.checks import check_comparison
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.comparison.plan import planned_looks
from qweft.comparison.report.write import remake_report
from qweft.comparison.results_file import changed_said, stated
from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.training.config import TrainingConfig

LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}


def comparison(places, folder, **changes):
    made = ComparisonConfig(
        methods={
            "lora": MethodConfig(LORA),
            "fast": MethodConfig(LORA, learning_rate=0.1),  # far ahead of the others at every seed
            "twin": MethodConfig(LORA),  # equal, so that no number of seeds decides
        },
        model=ModelConfig(name=places[0]),
        data=DataConfig(source=places[1], validation_rows=4, test_rows=4, max_length=48),
        training=TrainingConfig(max_steps=4, batch_size=2, gradient_accumulation=1),
        evaluation=EvaluationConfig(answers=0),
        seeds=[0, 1, 2],
        most_seeds=5,
        output=str(folder / "out"),
    )
    return replace(made, **changes)


def run(config):
    path = runner.compare(config, "methods: {}\n", "qweft compare test.yaml --until-decided")
    return path, json.loads((path.parent / "results.json").read_text())


def seeds_of(results, method):
    return [entry["seed"] for entry in results["runs"] if entry["method"] == method]


def test_seeds_are_added_to_open_questions_and_a_stopped_comparison_goes_on(places, tmp_path, capsys):
    config = comparison(places, tmp_path)
    path, results = run(config)
    made = results["summary"]["lora"]["looks_made"]
    assert [(look["number"], look["planned"]) for look in made] == [(1, 2), (2, 2)]
    assert [look["level"] for look in made] == pytest.approx([0.03, 0.02])
    assert [look["seeds"] for look in made] == [[0, 1, 2], [0, 1, 2, 3, 4]]
    assert seeds_of(results, "base") == [0] and seeds_of(results, "lora") == [0, 1, 2, 3, 4]
    assert seeds_of(results, "twin") == [0, 1, 2, 3, 4] and seeds_of(results, "fast") == [0, 1, 2]
    said = " ".join(capsys.readouterr().out.split())
    assert "look 1 of 2: not decided for lora, twin" in said
    text = (path.parent / "report.md").read_text()
    assert "at the levels 0.03 at 3 seeds, 0.02 at 5 seeds" in text and "look 1 of 2 at level 0.03" in text
    shutil.rmtree(path.parent / "lora-4")
    again = run(config)[1]
    kept = {(entry["method"], entry["seed"]): entry["started"] for entry in results["runs"]}
    anew = {(entry["method"], entry["seed"]): entry["started"] for entry in again["runs"]}
    assert {key for key in kept if kept[key] != anew[key]} == {("lora", 4)}
    remade = remake_report(path.parent, tmp_path / "again")
    assert (remade.parent / "report.md").read_text().count("look 1 of 2") == text.count("look 1 of 2") > 0


def test_a_question_that_is_open_again_gets_the_seeds_of_the_look_that_it_sat_out(
    places, tmp_path, monkeypatch, capsys
):
    """As where seeds that are added raise the p of another question, and so Holm's p of one that was decided."""
    left = iter([{"lora", "twin"}, {"lora", "fast", "twin"}, set()])
    monkeypatch.setattr(runner, "undecided", lambda summary: next(left))
    results = run(comparison(places, tmp_path, most_seeds=12))[1]
    assert [seeds_of(results, name) for name in ("base", "lora", "twin")] == [[0], [*range(12)], [*range(12)]]
    assert seeds_of(results, "fast") == [0, 1, 2, *range(3, 12)]
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "look 1 of 3: not decided for lora, twin " in said and "look 2 of 3: not decided for lora, fast, twin" in said
    )


def test_no_seed_is_added_once_every_question_is_decided(places, tmp_path, capsys):
    results = run(comparison(places, tmp_path, equivalent_within=50.0))[1]
    assert {entry["seed"] for entry in results["runs"]} == {0, 1, 2} and results["planned_runs"] == 10
    said = " ".join(capsys.readouterr().out.split())
    assert "look 1 of 2: every question is decided" in said


def test_looks_double_up_to_the_cap_with_seeds_not_yet_used(places, tmp_path):
    config = comparison(places, tmp_path, seeds=[7, 1, 5], most_seeds=8)
    assert planned_looks(config) == ((7, 1, 5), (7, 1, 5, 0, 2, 3), (7, 1, 5, 0, 2, 3, 4, 6))
    assert planned_looks(replace(config, most_seeds=None)) == ((7, 1, 5),)


@pytest.mark.parametrize(
    ("changes", "key"), [({"seeds": [0, 1]}, "give 3 seeds"), ({"most_seeds": 3}, "give --most-seeds 6")]
)
def test_looks_that_cannot_be_planned(places, tmp_path, changes, key):
    with pytest.raises(QweftError, match=f"most_seeds .*{key}"):
        check_comparison(comparison(places, tmp_path, **changes))


PLAN = {"margin": None, "reference": "lora", "methods": ["lora", "qtha"], "seeds": [[0, 1, 2]]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"margin": 0.5}, "margin (none, now 0.5)"),
        ({"reference": "qtha"}, "reference (lora, now qtha)"),
        ({"methods": ["lora", "mpo"]}, "methods (lora qtha, now lora mpo)"),
        ({"seeds": [[0, 1, 2, 3]]}, "seeds (0 1 2, now 0 1 2 3)"),
        ({}, ""),
    ],
)
def test_what_is_changed_after_the_first_results_is_told(tmp_path, change, words):
    stated(tmp_path, PLAN)
    text = changed_said(stated(tmp_path, {**PLAN, **change}))
    assert words in text and bool(text) == bool(change)
    assert changed_said(stated(tmp_path, {**PLAN, **change})) == text  # and not forgotten
