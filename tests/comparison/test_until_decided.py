"""Seeds are added until each question is decided: on a tiny model, from the command line to the report."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from qweft.comparison import runner
from qweft.comparison.config import MethodConfig
from qweft.comparison.plan import plan_analysis_seeds
from qweft.comparison.report.write import remake_report
from qweft.comparison.results_file import changed_said, stated
from tests.comparison.comparison_examples import LORA, comparison, results


def looking(places, folder, **changes):
    methods = {
        "lora": LORA,
        "fast": MethodConfig(LORA, learning_rate=0.1),  # far ahead of the others at every seed
        "twin": LORA,  # equal, so that no number of seeds decides
    }
    return comparison(places, folder, **{"methods": methods, "most_seeds": 5, **changes})


def seeds_of(made, *names):
    return [[entry["seed"] for entry in made["runs"] if entry["method"] == name] for name in names]


def test_seeds_are_added_to_open_questions_and_a_stopped_comparison_goes_on(places, tmp_path, capsys):
    config = looking(places, tmp_path)
    made, output = results(config), Path(config.output)
    analyses = made["summary"]["lora"]["looks_made"]
    assert [(analysis["number"], analysis["planned"]) for analysis in analyses] == [(1, 2), (2, 2)]
    assert [analysis["level"] for analysis in analyses] == pytest.approx([0.03, 0.02])
    assert [analysis["seeds"] for analysis in analyses] == [[0, 1, 2], [0, 1, 2, 3, 4]]
    assert seeds_of(made, "base", "lora", "twin", "fast") == [[0], [*range(5)], [*range(5)], [0, 1, 2]]
    assert "interim analysis 1 of 2: not decided for lora, twin" in " ".join(capsys.readouterr().out.split())
    times_told = (output / "report.md").read_text().count("interim analysis 1 of 2")
    shutil.rmtree(output / "lora-4")
    took = [
        {(entry["method"], entry["seed"]): entry["seconds"] for entry in each["runs"]}
        for each in (made, results(config))
    ]
    assert {key for key in took[0] if took[0][key] != took[1][key]} == {("lora", 4)}
    remade = remake_report(output, tmp_path / "again").with_name("report.md").read_text()
    assert remade.count("interim analysis 1 of 2") == times_told > 0


def test_a_question_that_is_open_again_gets_the_seeds_of_the_analysis_that_it_sat_out(places, tmp_path, monkeypatch):
    """As where seeds that are added raise the p of another question, and so Holm's p of one that was decided."""
    left = iter([{"lora", "twin"}, {"lora", "fast", "twin"}, set()])
    monkeypatch.setattr(runner, "undecided_methods", lambda summary: next(left))
    made = results(looking(places, tmp_path, most_seeds=7))
    every = [*range(7)]
    assert seeds_of(made, "base", "lora", "twin", "fast") == [[0], every, every, every]


def test_no_seed_is_added_once_every_question_is_decided(places, tmp_path, capsys):
    made = results(looking(places, tmp_path, equivalent_within=50.0))
    assert {entry["seed"] for entry in made["runs"]} == {0, 1, 2} and made["planned_runs"] == 10
    assert "interim analysis 1 of 2: no seed decides more" in " ".join(capsys.readouterr().out.split())


def test_seeds_double_up_to_the_cap_with_seeds_not_yet_used(places, tmp_path):
    config = looking(places, tmp_path, seeds=[7, 1, 5], most_seeds=8)
    assert plan_analysis_seeds(config) == ((7, 1, 5), (7, 1, 5, 0, 2, 3), (7, 1, 5, 0, 2, 3, 4, 6))
    assert plan_analysis_seeds(replace(config, most_seeds=None)) == ((7, 1, 5),)


PLAN = {"margin": None, "reference": "lora", "methods": ["lora", "qtha"], "seeds": [[0, 1, 2]]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"margin": 0.5}, "margin (none, now 0.5)"),
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
