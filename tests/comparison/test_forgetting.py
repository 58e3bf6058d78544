"""Forgetting in a comparison: measured beside the held-out loss, in its record, its table and its report."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qweft.comparison.judge.forgetting import summarise_forgetting
from qweft.core.errors import QweftError
from qweft.evaluation.run import evaluate
from tests.comparison.comparison_examples import comparison, results, run


def measured(method, seed, rows, **changes):
    total, tokens = map(sum, zip(*rows, strict=True))
    forgetting = {"source": "other", "loss": total / tokens, "row_losses": [list(row) for row in rows]}
    return run(method, seed, 1.0, forgetting=forgetting, **changes)


BASE = measured("base", 0, [(2.0, 2), (9.0, 3)])
RUNS = [
    BASE,
    measured("lora", 0, [(3.0, 2), (9.0, 3)], adapter_bytes=2**20),
    measured("lora", 1, [(4.0, 2), (10.0, 3)], adapter_bytes=2**20),
]


def test_it_is_the_rise_of_the_mean_loss_with_the_error_over_rows():
    found = summarise_forgetting(RUNS[1:], BASE)
    # means over seeds: 3.5 and 9.5; rises 1.5 on 2 tokens and 0.5 on 3
    assert found.loss == pytest.approx(13 / 5) and found.rise == pytest.approx(2 / 5)
    # without the first row the rise is 0.5 / 3, without the second 1.5 / 2
    assert found.standard_error == pytest.approx((((0.5 / 3 - 0.4) ** 2 + (1.5 / 2 - 0.4) ** 2) / 2) ** 0.5)
    assert summarise_forgetting([BASE], None).rise is None


def test_it_is_none_where_a_run_lacks_it():
    assert (
        summarise_forgetting([*RUNS[1:], run("lora", 2)], BASE) is None
        and summarise_forgetting([run("lora")], BASE) is None
    )


@pytest.fixture
def config(places, tmp_path):
    other, tests = tmp_path / "other.jsonl", tmp_path / "test.jsonl"
    other.write_text("\n".join(json.dumps({"text": f"There are {n} apples."}) for n in range(9)))
    tests.write_text("\n".join(json.dumps({"question": f"And {n}?", "answer": f"{n} it is."}) for n in range(5)))
    return comparison(
        places,
        tmp_path,
        data={"test_rows": 5, "test_source": str(tests), "template": "Q {query} A"},
        evaluation={"forgetting": str(other), "forgetting_rows": 4, "forgetting_first": True},
        seeds=[0],
        rates=[1e-3],
    )


def test_a_comparison_measures_it_and_evaluate_by_the_folder_alone_finds_the_same(config, capsys):
    made = results(config)
    base, lora = made["runs"]
    assert len(base["forgetting"]["row_losses"]) == 4 and base["forgetting"]["source"] == config.evaluation.forgetting
    found = evaluate(Path(config.output) / "lora-0" / "adapter")
    assert found.data == config.data.test_source
    assert found.base.loss == pytest.approx(base["eval_loss"], rel=1e-5)
    assert found.adapted.loss == pytest.approx(lora["eval_loss"], rel=1e-5)
    for loss, record in zip(found.forgetting, (base, lora), strict=True):
        assert loss.loss == pytest.approx(record["forgetting"]["loss"], rel=1e-5)
    rise = made["summary"]["lora"]["forgetting"]["rise"]
    assert rise == pytest.approx(found.forgetting[1].loss - found.forgetting[0].loss, abs=1e-5)
    weights = Path(config.output) / "lora-0" / "adapter" / "adapter_model.safetensors"
    assert lora["adapter_bytes"] == weights.stat().st_size and base["adapter_bytes"] is None
    assert "rise" in capsys.readouterr().out
    assert "judged on" in (Path(config.output) / "report.md").read_text().splitlines()[0]
    # nothing is done twice, and other rows are another question
    before = weights.stat().st_mtime_ns
    results(config)
    assert weights.stat().st_mtime_ns == before
    with pytest.raises(QweftError, match="a run of another configuration"):
        results(replace(config, evaluation=replace(config.evaluation, forgetting_rows=3)))
