"""Seeds are added until each question is decided: on a tiny model, from the command line to the report."""

import json
import shutil
from dataclasses import replace

import pytest

from qweft.cli.main import main
from qweft.comparison import runner
from qweft.comparison.checks import check_comparison
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.comparison.plan import planned_looks
from qweft.comparison.report.write import remake_report
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
    assert "look 1 of 2: not decided for lora, twin" in said and "2 of 2 planned looks were made" in said
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


def test_a_report_during_a_look_is_judged_by_the_looks_before_it(places, tmp_path, monkeypatch):
    write, told = runner.write_report, []
    monkeypatch.setattr(runner, "SECONDS_BETWEEN_REPORTS", 0.0)

    def noting(results, *arguments):
        told.append((len(results["runs"]), len(results["summary"]["base"]["looks_made"])))
        return write(results, *arguments)

    monkeypatch.setattr(runner, "write_report", noting)
    run(comparison(places, tmp_path))
    assert (13, 1) in told and told[-1] == (14, 2)  # 10 runs for the first look, 4 for the second


def test_no_seed_is_added_once_every_question_is_decided(places, tmp_path, capsys):
    results = run(comparison(places, tmp_path, equivalent_within=50.0))[1]
    assert {entry["seed"] for entry in results["runs"]} == {0, 1, 2} and results["planned_runs"] == 10
    said = " ".join(capsys.readouterr().out.split())
    assert "look 1 of 2: every question is decided" in said and "1 of 2 planned looks were made" in said


def test_a_margin_or_reference_that_is_chosen_after_the_results_is_told(places, tmp_path, capsys):
    """They count where they stood in the config before the runs."""
    first = comparison(places, tmp_path, equivalent_within=0.5, most_seeds=None)
    assert "margin_before" not in run(first)[1]
    assert "margin_before" not in run(first)[1] and "was changed after" not in " ".join(capsys.readouterr().out.split())
    for _ in range(2):  # it is not forgotten by the next time
        path, results = run(replace(first, equivalent_within=50.0))
        said = "The first results had a margin of equivalence of 0.5%; it was changed after them."
        assert results["margin_before"] == 0.5 and said in " ".join(capsys.readouterr().out.split())
        assert said in (path.parent / "report.md").read_text()
    assert "margin_before" not in run(first)[1]
    results = run(replace(first, reference="fast"))[1]
    assert results["reference_before"] == "lora" and "margin_before" not in results
    assert "The first results compared with lora; the reference was" in " ".join(capsys.readouterr().out.split())
    fewer = replace(first, methods={**first.methods, "other": MethodConfig(LORA)}, equivalent_within=50.0)
    fewer.methods.pop("twin")  # its results are set aside, but the other runs are used again
    assert run(fewer)[1]["margin_before"] == 0.5
    said = "After the first results methods changed: other added and twin left out. p is corrected for the questions"
    assert said in " ".join(capsys.readouterr().out.split())
    assert "methods_before" not in run(replace(first, equivalent_within=50.0))[1]
    apart = replace(first, output=str(tmp_path / "apart"))
    run(apart)
    run(replace(apart, seeds=[3, 4, 5], equivalent_within=50.0))  # its results stand in the way of the first ones
    assert run(replace(apart, equivalent_within=50.0))[1]["margin_before"] == 0.5
    capsys.readouterr()
    none = replace(first, equivalent_within=None, output=str(tmp_path / "none"))
    run(none)
    run(replace(none, equivalent_within=50.0))
    assert "The first results had no margin of equivalence;" in " ".join(capsys.readouterr().out.split())


def test_methods_that_are_added_after_a_first_one_alone_are_told(places, tmp_path, capsys):
    whole = comparison(places, tmp_path, most_seeds=None)
    for count in (1, 2, 3):
        some = replace(whole, methods=dict(list(whole.methods.items())[:count]))
        results = run(some)[1]
        said = " ".join(capsys.readouterr().out.split())
        assert ("methods changed: twin added." in said) == ("lora added" in said or count == 3)
        assert results.get("methods_before") == {1: None, 2: ["lora"], 3: ["fast", "lora"]}[count]


def test_a_number_of_seeds_that_is_chosen_after_the_results_is_told(places, tmp_path, capsys):
    """Looking at three seeds and then at more errs more often than the levels of planned looks allow for."""
    first = comparison(places, tmp_path, most_seeds=None)
    assert "seeds_before" not in run(first)[1] and "seeds_before" not in run(first)[1]
    more = replace(first, seeds=[0, 1, 2, 3])
    for _ in range(2):
        path, results = run(more)
        said = "The first results were planned with 3 seeds, these with 4 seeds; the p-values do not allow for this"
        assert results["seeds_before"] == [[0, 1, 2]] and results["planned_seeds"] == [[0, 1, 2, 3]]
        assert said in " ".join(capsys.readouterr().out.split()) and said in (path.parent / "report.md").read_text()
    run(replace(first, most_seeds=5))
    assert "planned with 3 seeds, these with 3 and 5 seeds; the p-values" in " ".join(capsys.readouterr().out.split())
    run(replace(first, seeds=[0, 1, 4]))
    assert "The first results were planned with other seeds; the p-values" in " ".join(capsys.readouterr().out.split())


def test_the_same_command_sets_none_of_its_own_results_aside(places, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "SECONDS_BETWEEN_REPORTS", 0.0)
    before = run(comparison(places, tmp_path))[1]
    shutil.rmtree(tmp_path / "out" / "lora-0")
    again = run(comparison(places, tmp_path))[1]
    assert len(again["runs"]) == len(before["runs"]) and "are now in" not in capsys.readouterr().out
    assert not (tmp_path / "out" / "earlier").exists()


def test_a_report_of_more_seeds_is_set_aside_where_a_look_decides_with_fewer(places, tmp_path, capsys):
    run(comparison(places, tmp_path, most_seeds=None, seeds=[0, 1, 2, 3]))
    before = (tmp_path / "out" / "results.json").read_bytes()
    run(comparison(places, tmp_path, most_seeds=8, equivalent_within=50.0))
    assert "the earlier results, with other seeds, are now in" in capsys.readouterr().out
    assert (tmp_path / "out" / "earlier" / "results-1" / "results.json").read_bytes() == before


def test_the_flag_of_the_command(places, tmp_path, capsys):
    file = tmp_path / "compare.yaml"
    file.write_text(
        f"model: {{name: {places[0]}}}\ndata: {{source: {places[1]}, validation_rows: 4, test_rows: 4}}\n"
        f"methods: {{lora: {{adapter: {json.dumps(LORA)}}}}}\n"
    )
    main(["compare", str(file), "--until-decided", "--most-seeds", "6", "--dry-run"])
    assert "until decided, at most 6 seeds" in " ".join(capsys.readouterr().out.split())
    main(["compare", str(file), "--until-decided", "--dry-run"])
    assert "until decided, at most 12 seeds" in " ".join(capsys.readouterr().out.split())
    main(["compare", str(file), "--dry-run"])
    assert "until decided" not in capsys.readouterr().out


def test_looks_double_up_to_the_cap_with_seeds_not_yet_used(places, tmp_path):
    config = comparison(places, tmp_path, seeds=[7, 1, 5], most_seeds=8)
    assert planned_looks(config) == ((7, 1, 5), (7, 1, 5, 0, 2, 3), (7, 1, 5, 0, 2, 3, 4, 6))
    assert planned_looks(replace(config, most_seeds=None)) == ((7, 1, 5),)


TOO_FEW = "most_seeds (--until-decided) adds to seeds, of which it needs 3 for a first look, got 2; give 3 seeds"
TOO_MANY = "most_seeds (--until-decided) must be above the number of seeds (3) and at most 1000"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"seeds": [0, 1]},
            TOO_FEW,
        ),
        ({"most_seeds": 3}, f"{TOO_MANY}, got 3; give --most-seeds 6"),
        ({"most_seeds": 5000}, f"{TOO_MANY}, got 5000; give --most-seeds 6"),
    ],
)
def test_looks_that_cannot_be_planned(places, tmp_path, changes, sentence):
    with pytest.raises(QweftError) as fault:
        check_comparison(comparison(places, tmp_path, **changes))
    assert str(fault.value) == sentence
    check_comparison(comparison(places, tmp_path, **{**changes, "most_seeds": None}))


def test_a_question_that_no_seed_decides_is_not_called_decided(places, tmp_path, capsys):
    """Of a method that diverged at one seed nothing can be shown, at however many."""
    wild = {"lora": MethodConfig(LORA), "wild": MethodConfig(LORA, learning_rate=1e38)}
    run(comparison(places, tmp_path, methods=wild))
    said = " ".join(capsys.readouterr().out.split())
    assert "look 1 of 2: no seed decides what is left: a run diverged at 3 of 3 seeds" in said
