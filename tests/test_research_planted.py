"""The regression without a model, and the matrix of the positive control."""

import json
import re
from pathlib import Path
from statistics import fmean

import pytest
from research import planted_regression as regression
from research import positive_control as matrix
from research import unfinished

from qweft.cli.parser import parse
from qweft.comparison.checks import check_comparison, check_methods
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.method_kinds import differences
from qweft.comparison.searched import searches
from qweft.errors import QweftError

ROOT = Path(__file__).parents[1]


def test_an_affine_map_explains_a_teacher_without_a_function_and_not_a_circuit():
    found = regression.measure(regression.Cell("none", 2, 1.0, False, 0), steps=1, trained=256)
    assert found["affine"] < 1e-9 and "circuit, near" not in found
    found = regression.measure(regression.Cell("quantum", 2, 1.0, False, 0), steps=1, trained=256)
    assert 0.5 < found["affine"] < 1.2


def test_a_circuit_near_the_teacher_s_learns_it():
    cell = regression.Cell("quantum", 2, 1.0, False, 0)
    found = regression.measure(cell, steps=150, trained=256)
    assert found["circuit, near"] < 0.02 < found["perceptron"]


def test_normalised_inputs_have_one_size_each():
    import torch

    cell = regression.Cell("quantum", 2, 0.7, True, 0)
    sizes = regression.inputs(cell, 50, torch.Generator().manual_seed(0)).square().mean(-1).sqrt()
    torch.testing.assert_close(sizes, torch.full((50,), 0.7))


def test_a_table_has_the_medians_and_marks_the_best_fair_student():
    shares = dict.fromkeys(regression.STUDENTS, 0.5) | {"Fourier": 0.25, "circuit, near": 0.0}
    cell = {"teacher": "quantum", "layers": 2, "rms": 1.0, "normalised": False}
    cells = [{"cell": cell | {"seed": seed}, "unexplained": shares} for seed in range(3)]
    last = regression.table({"cells": cells})[-1]
    assert last.startswith("| quantum | 2 | 1 | 0.500 |") and "**0.250**" in last and "**0.000**" not in last


def test_what_the_page_says_of_more_pairs():
    record = json.loads((ROOT / "docs" / "results" / "planted-regression-finer.json").read_text())
    assert (record["how"]["steps"], record["how"]["trained"]) == regression.FINER == (800, 8192)
    assert [regression.Cell(**each["cell"]) for each in record["cells"]] == list(regression.cells(finer=True))
    rows = [line.split(" | ") for line in regression.table(record)[2:]]
    (one, two) = (
        {name: cell.strip("* |") for name, cell in zip(regression.STUDENTS, row[3:], strict=True)} for row in rows
    )
    circuit, scaled = "circuit, random start", "circuit, scaled start"
    said = (
        f"it leaves {one[circuit]} at rms 1, Fourier {one['Fourier']}; at rms 2 it leaves {two[circuit]}, "
        f"from the scaled start {two[scaled]}, Fourier {two['Fourier']}."
    )
    assert said in " ".join((ROOT / "docs" / "positive-control.md").read_text().split())


def test_the_matrix_has_every_teacher_at_every_dose_with_students_that_differ_in_the_core_alone(tmp_path):
    assert sorted(matrix.cells()) == [
        ("mlp", 0.25), ("mlp", 0.5), ("mlp", 1.0),
        ("quantum", 0.0), ("quantum", 0.25), ("quantum", 0.5), ("quantum", 1.0),
    ]  # fmt: skip
    for cell in matrix.cells():
        config = parse(ComparisonConfig, matrix.arguments(matrix.CONFIG, tmp_path, *cell))
        check_comparison(config)
        check_methods(config)
        assert config.teacher.dose == cell[1] and config.teacher.adapter["core"] == f"{cell[0]}_gated"
        assert config.output == str(matrix.folder(tmp_path, *cell))
        for method in config.methods.values():
            assert differences(method.adapter, config.teacher.adapter) == []


@pytest.mark.parametrize("word", ["quantum", "mlp"])
def test_the_largest_doses_come_first(word):
    doses = [dose for teacher, dose in matrix.cells() if teacher == word]
    assert set(doses[: len(doses) - 2]) <= {0.0, 1.0} and set(doses[-2:]) == {0.25, 0.5}


def test_a_comparison_that_is_not_finished_is_left_out(tmp_path, capsys, monkeypatch):
    place = matrix.folder(tmp_path, "quantum", 1.0) / "results.json"
    place.parent.mkdir()
    place.write_text('{"runs": [{}], "planned_runs": 6}')
    monkeypatch.setattr(matrix.compare, "run", lambda arguments: None)
    matrix.main(["--output", str(tmp_path)])
    assert json.loads((tmp_path / "matrix.json").read_text()) == {"cells": []}
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_runs_of_an_unfinished_experiment_come_back(tmp_path):
    records = {"a/lora-0": {"run": 1}, "a/search/lora-0.1-1000": {"run": [1.5, None]}}
    for name, record in records.items():
        (tmp_path / "runs" / name / "adapter").mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text(json.dumps(record))
    file = tmp_path / "kept" / "runs.json"
    assert unfinished.keep(tmp_path / "runs", file) == 2
    (tmp_path / "again" / "a" / "lora-0").mkdir(parents=True)
    (tmp_path / "again" / "a" / "lora-0" / "run.json").write_text("own")
    assert unfinished.put(tmp_path / "again", file) == 1
    assert (tmp_path / "again" / "a" / "lora-0" / "run.json").read_text() == "own"
    found = {path.parent.relative_to(tmp_path / "again").as_posix() for path in (tmp_path / "again").rglob("run.json")}
    assert found == set(records)
    assert json.loads((tmp_path / "again/a/search/lora-0.1-1000/run.json").read_text()) == {"run": [1.5, None]}
    with pytest.raises(QweftError, match="no finished run is in it"):
        unfinished.keep(tmp_path / "kept", file)
    file.write_text(json.dumps(["../../out", {}]))
    with pytest.raises(QweftError, match=r"\.\./\.\./out leads out of"):
        unfinished.put(tmp_path / "again", file)


RECORD, FAR, LONGER = (
    json.loads((ROOT / "docs" / "results" / f"positive-control{name}.json").read_text())
    for name in ("", "-far", "-far-120")
)


@pytest.mark.parametrize(
    "cell", RECORD["cells"], ids=lambda cell: "-".join(map(str, list(cell["teacher"].values())[:2]))
)
def test_the_answers_of_the_matrix_follow_from_its_runs(cell):
    assert len(cell["runs"]) == cell["planned_runs"]
    for again, kept in zip(matrix.answers(cell), cell["answers"], strict=True):
        assert all(again[name] == kept[name] for name in ("other", "direction", "doubted"))
        assert again["percent"] == pytest.approx(kept["percent"], abs=1e-6)
        assert again["interval"] is kept["interval"] is None or list(again["interval"]) == pytest.approx(
            kept["interval"]
        )
    expected = {0.0: "equivalent", 1.0: {"quantum_gated": "lower", "mlp_gated": "higher"}[cell["teacher"]["core"]]}
    dose = cell["teacher"]["dose"]
    assert dose not in expected or cell["answers"][0]["direction"] == expected[dose]


@pytest.mark.parametrize("record", [FAR, LONGER], ids=["40", "120"])
def test_the_student_from_the_usual_start(record):
    (cell,) = record["cells"]
    assert (cell["teacher"]["core"], cell["teacher"]["dose"]) == ("quantum_gated", 1.0)
    assert len(cell["runs"]) == cell["planned_runs"]
    for again, kept in zip(matrix.answers(cell), cell["answers"], strict=True):
        assert all(again[name] == kept[name] for name in ("other", "direction", "doubted"))
    first = {
        run["method"]: run["train_loss_curve"][0][1]
        for run in cell["runs"]
        if run["method"] != "base" and run["seed"] == 0
    }
    assert len(set(first.values())) == 1  # no student has a head start


def test_what_the_page_says_of_the_usual_start():
    (cell,) = FAR["cells"]
    short = {each.method: each.shortfall.percent for each in searches(cell["search"])}
    others = sorted(percent for method, percent in short.items() if method != "gated")
    page = " ".join((ROOT / "docs" / "positive-control.md").read_text().split())
    said = f"may cost {short['gated']:.2f}% of the loss, the others' {others[0]:.2f} to {others[-1]:.2f}%"
    assert said in page
    (none,) = (answer["percent"] for answer in cell["answers"] if answer["other"] == "none")
    (cell,) = LONGER["cells"]
    answers = {answer["other"]: answer for answer in cell["answers"]}
    fourier, (low, high) = answers["fourier"], answers["fourier"]["interval"]
    p = float(re.search(r"corrected ([\d.]+)", fourier["text"])[1])
    told = f"by {fourier['percent']:.2f}% [{low:.2f}, {high:.2f}] (corrected p {p:g}). With the 40 steps"
    assert (
        f"{told} counted as a first look p is {2 * p:.2f}" in page
        and fourier["direction"] == "higher"
        and not fourier["doubted"]
    )
    (own,) = (each.shortfall.percent for each in searches(cell["search"]) if each.method == "gated")
    assert f"the circuit's rate may cost {own:.2f}%, which would not decide it" in page
    losses = {name: fmean(run["eval_loss"] for run in cell["runs"] if run["method"] == name) for name in short}
    gains = {name: 100 * (1 - loss / losses["none"]) for name, loss in losses.items()}
    assert f"it is {-none:.2f}% in 40 steps and {gains['gated']:.1f}% in 120" in page
    assert "perceptron gains {mlp:.1f}%, no entanglement {product:.1f}%, Fourier {fourier:.1f}%".format(**gains) in page
    assert gains["mlp"] > gains["gated"]  # "no sign that the circuit was found"
    results = " ".join((ROOT / "docs" / "results.md").read_text().split())
    assert f"shown {fourier['percent']:.2f}% better" in results
    ends = [
        fmean(run["eval_loss"] for run in cell["runs"] if run["method"] == "none")
        for cell in (*FAR["cells"], *RECORD["cells"])
        if cell["teacher"]["core"] == "quantum_gated" and cell["teacher"]["dose"] == 1
    ]
    assert "ends at {:.4f}, and at {:.4f} in the matrix".format(*ends) in page


def test_the_page_has_the_matrix():
    page = (ROOT / "docs" / "positive-control.md").read_text()
    for row in (*matrix.table(RECORD), *matrix.table(FAR), *matrix.table(LONGER)):
        assert row in page
