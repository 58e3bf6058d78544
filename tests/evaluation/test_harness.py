"""lm-evaluation-harness on a tiny model: a task of local data, held against our own loss."""

import json

import pytest
import torch

from qweft.data.tokens import IGNORED
from qweft.evaluation.harness import check_harness, compare_harness, run_harness
from qweft.evaluation.loss import score_rows
from tests.data.tiny_tokenizer import CHATML, make_tokenizer
from tests.tiny_models import tiny_llama

pytest.importorskip("lm_eval")

TASK = """\
task: apples
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
CHOICES = ["three", "many apples", "none"]


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("harness")
    rows = [{"question": f"There are {n} apples. How many?", "choices": CHOICES, "answer": n % 3} for n in range(12)]
    (folder / "rows.json").write_text("\n".join(map(json.dumps, rows)))
    (folder / "apples.yaml").write_text(TASK.format(file=folder / "rows.json"))
    return rows, str(folder / "apples.yaml")


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(CHATML)


def model_of(tokenizer, seed):
    model = tiny_llama(seed)
    model.resize_token_embeddings(len(tokenizer))
    return model


def chosen(model, tokenizer, row):
    """The choice of least loss, by our own scoring."""
    rows = []
    for choice in row["choices"]:
        asked = tokenizer(row["question"]).input_ids
        ids = tokenizer(f"{row['question']} {choice}").input_ids
        rows.append({"input_ids": ids, "labels": [IGNORED] * len(asked) + ids[len(asked) :]})
    totals = [score.total for score in score_rows(model, rows, tokenizer.pad_token_id, 4)]
    return totals.index(min(totals))


def test_accuracy_is_that_of_our_own_losses(task, tokenizer):
    rows, path = task
    check_harness([path])
    models = [model_of(tokenizer, seed) for seed in (0, 1)]
    models[0].train()
    found = [run_harness(model, tokenizer, [path], None, 4) for model in models]
    right = [[chosen(model, tokenizer, row) == row["answer"] for row in rows] for model in models]
    (score,) = compare_harness(*found)
    assert (score.name, score.base.rows) == ("apples acc", 12)
    assert score.base.value == pytest.approx(sum(right[0]) / 12)
    assert score.adapted.value == pytest.approx(sum(right[1]) / 12)
    differences = torch.tensor(right[1]).double() - torch.tensor(right[0]).double()
    assert score.difference.value == pytest.approx(differences.mean().item())
    assert score.difference.standard_error == pytest.approx(differences.std().item() / 12**0.5)
    assert score.base.standard_error == pytest.approx(torch.tensor(right[0]).double().std().item() / 12**0.5)
    assert models[0].training and tokenizer.padding_side == "right"
