"""The programs behind the published tables."""

import json
import math
from statistics import mean

import pytest
from benchmarks import report
from research import evidence, front, tables, unfinished

from qweft.core.errors import QweftError
from qweft.training.config import TrainingConfig


def test_a_pair_that_did_not_run_cannot_be_judged():
    results = evidence.read("budget")
    assert [each.budget for each in front.planned(results)] == list(front.PAIRS)
    with pytest.raises(QweftError, match="lora_r1"):
        front.planned({"runs": [run for run in results["runs"] if run["method"] != "lora_r1"]})


def test_kept_results_have_their_checksums():
    lines = (evidence.FOLDER / evidence.SUMS).read_text().splitlines()
    assert {path: digest for digest, path in map(str.split, lines)} == evidence.checksums()


@pytest.mark.parametrize("name", tables.PAGES)
def test_the_tables_of_a_page_are_those_of_the_kept_results(name):
    page = (tables.DOCS / name).read_text(encoding="utf-8")
    assert "<!-- table:" in page and tables.filled(page) == page


def test_the_rule_for_a_longer_run_s_rate_is_what_the_kept_runs_have():
    short, long = (
        {run["method"]: run for run in evidence.read(name)["runs"] if run["method"] != "base"}
        for name in ("long-60", "thousand")
    )
    powers = [
        math.log(long[name]["learning_rate"] / run["learning_rate"]) / math.log(long[name]["steps"] / run["steps"])
        for name, run in short.items()
    ]
    found = TrainingConfig(learning_rate=1.0, found_in_steps=60).at(1000).learning_rate
    assert len(powers) == 8 and found == pytest.approx((1000 / 60) ** mean(powers), rel=0.02)


def test_the_page_of_benchmarks_is_that_of_the_saved_results():
    assert (tables.DOCS / "benchmarks.md").read_text(encoding="utf-8") == report.saved_page()


def test_runs_of_an_unfinished_comparison_are_kept_and_restored(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "FOLDER", tmp_path / "kept")
    runs = tmp_path / "runs" / "claim"
    for name, loss in (("lora-0", 2.5), ("qtha-0", 2.25)):
        (runs / name).mkdir(parents=True)
        (runs / name / "run.json").write_text(json.dumps({"run": {"eval_loss": loss}}))
    (runs / "mpo-0").mkdir()  # under way: it has no record
    assert unfinished.keep(runs) == 2
    (runs / "lora-0" / "run.json").unlink()
    assert unfinished.restore(runs) == 1
    assert json.loads((runs / "lora-0" / "run.json").read_text()) == {"run": {"eval_loss": 2.5}}
    assert not (runs / "mpo-0" / "run.json").exists()
