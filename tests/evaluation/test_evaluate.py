"""`evaluate` on a tiny model: every metric is there, for both models, with its error; what is off stays off."""

import json

import pytest

from qweft.adapter.attach import adapter_config, attach
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.run import evaluate
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.run import save_adapter, train
from tests.tiny_folder import save_tiny_model

ADAPTER = {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj"]}
NAMES = ["loss", "perplexity"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, an adapter that does something, and rows with worked answers."""
    folder = tmp_path_factory.mktemp("evaluate")
    save_tiny_model(folder / "model")
    model = attach(load_model(ModelConfig(name=str(folder / "model"))).model, adapter_config(ADAPTER))
    for name, parameter in model.named_parameters():
        if "qwthn" in name:
            parameter.data += 0.3
    save_adapter(model, folder / "adapter")
    rows = [{"question": f"{n} and 1?", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1}"} for n in range(40)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    other = [{"text": f"There are {n} apples. How are you?"} for n in range(40)]
    (folder / "other.jsonl").write_text("\n".join(map(json.dumps, other)))
    return folder


def judged(folder, **evaluation):
    data = {"source": str(folder / "rows.jsonl"), "validation_rows": 4, "test_rows": 8, "max_length": 64}
    data |= evaluation.pop("data", {})
    sections = {
        "model": {"name": str(folder / "model")}, "data": data, "evaluation": {"max_new_tokens": 6} | evaluation
    }  # fmt: skip
    return evaluate(folder / "adapter", sections)


def test_only_the_loss_where_nothing_else_is_asked_for(folder):
    found = judged(folder, answers=2)
    assert [each.name for each in found.scores] == NAMES
    loss = found.scores[0]
    assert (loss.base.value, loss.adapted.value) == (found.base.loss, found.adapted.loss)
    assert loss.difference.value == pytest.approx(found.adapted.loss - found.base.loss) and loss.difference.value != 0
    assert len(found.answers) == 2 and found.forgetting is None and found.harness is None
    plain = found.to_json()
    assert (plain["dtype"], plain["device"], plain["rows"]) == ("float32", "cpu", 8)
    assert {"forgetting", "lm_eval"}.isdisjoint(plain)


@pytest.fixture(scope="module")
def everything(folder):
    pytest.importorskip("sacrebleu"), pytest.importorskip("rouge_score"), pytest.importorskip("jieba")
    return judged(
        folder, metrics=["text", "reasoning"], generated=5, generation_batch=3, answers=1,
        forgetting=str(folder / "other.jsonl"), forgetting_rows=6,
    )  # fmt: skip


def test_every_score_has_its_error_and_its_rows(everything, folder):
    overlap = ["BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L"]
    reasoning = ["strict accuracy", "accuracy", "chain-of-thought completeness", "answer completeness"]
    rows = dict.fromkeys(NAMES, 8) | dict.fromkeys(overlap + reasoning, 5)
    rows[f"loss on {folder / 'other.jsonl'}"] = 6
    assert {each.name: each.base.rows for each in everything.scores} == rows
    for each in everything.scores:
        for score in (each.base, each.adapted, each.difference):
            assert score.standard_error is not None and score.rows == each.base.rows


def test_json_holds_every_answer_and_what_was_found_of_it(everything):
    plain = json.loads(json.dumps(everything.to_json()))
    assert len(plain["answers"]) == 5
    first = plain["answers"][0]
    assert set(first) == {"prompt", "reference", "generated", "is_cut", "reasoning"}
    assert set(first["generated"]) == set(first["reasoning"]) == {"base", "adapted"}
    assert len(plain["forgetting"]["base"]["rows"]) == 6
    assert [each["name"] for each in plain["scores"]][:2] == NAMES


def test_a_verifier_scores_rows_of_its_task(folder):
    pytest.importorskip("reasoning_gym")
    data = {"source": "embedded:reasoning_gym:chain_sum", "max_rows": 30, "max_length": 128}
    found = judged(folder, metrics=["verifier"], data=data, answers=0)
    by_name = {each.name: each for each in found.scores}
    assert by_name["solved"].base.rows == 8 and by_name["verifier's score"].base.standard_error is not None
    assert set(found.to_json()["answers"][0]["verifier"]) == {"base", "adapted"}


def test_what_the_run_was_told_of_its_data_is_told_to_evaluate_by_its_folder_alone(folder, tmp_path):
    other = [{"question": f"{n} and 2?", "answer": f"{n} + 2 = {n + 2}\n#### {n + 2}"} for n in range(9)]
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, other)))
    data = DataConfig(
        str(folder / "rows.jsonl"), validation_rows=4, test_rows=9, max_length=64, learn="all",
        test_source=str(folder / "test.jsonl"), template="Q: {query} A:",
    )  # fmt: skip
    config = RunConfig(
        ModelConfig(str(folder / "model")), data, ADAPTER, TrainingConfig(max_steps=2, batch_size=2),
        EvaluationConfig(max_new_tokens=3, answers=1), output=str(tmp_path / "run"),
    )  # fmt: skip
    trained = train(config)
    found = evaluate(trained.adapter_folder, {"evaluation": {"metrics": ["reasoning"]}})
    assert (found.data, found.base.rows) == (data.test_source, trained.base.rows)
    assert found.adapted.loss == pytest.approx(trained.adapted.loss, rel=1e-5)
    assert {each.name: each.base.rows for each in found.scores}["accuracy"] == 9
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    weights = tmp_path / "run" / "adapter" / "adapter_model.safetensors"
    assert record["adapter_bytes"] == weights.stat().st_size
    assert record["data"]["held_out"] == {"test": data.test_source}
