"""Text beyond a model's table of positions, in the commands on a trained adapter and in their dry runs."""

import json

import pytest
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from tests.tiny_folder import save_rows, save_tiny_model
from tests.tiny_models import tiny_gpt2
from transformers import AutoModelForCausalLM

from qweft.cli.main import main


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a tiny GPT-2 of 64 positions, an adapter of it, and short and long rows."""
    folder = tmp_path_factory.mktemp("room")
    model = AutoModelForCausalLM.from_pretrained(save_tiny_model(folder / "model", tiny_gpt2))
    lora = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["c_attn"], fan_in_fan_out=True)
    get_peft_model(model, lora).save_pretrained(folder / "adapter")
    save_rows(folder / "rows.jsonl")
    rows = [{"prompt": f"What is {number}?", "completion": "one two " * 40} for number in range(12)]
    (folder / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_virtual_tokens_take_positions(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(place / "model")
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=40)
    get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    shared = ["--model.name", str(place / "model"), "--data.validation_rows=4", "--data.test_rows=4"]
    assert main(["evaluate", "adapter", *shared, "--data.source", str(place / "rows.jsonl")]) == 2
    err = capsys.readouterr().err
    assert (
        "the model has positions for 24 beside 40 virtual tokens of its adapter; set data.max_length to 24" in err
        and "Traceback" not in err
    )


@pytest.mark.parametrize("more", [["--dry-run"], []])
@pytest.mark.parametrize(
    ("command", "options", "key"),
    [
        ("inspect", ["--data.source", "long.jsonl"], "data.max_length"),
        ("export", ["--data.source", "rows.jsonl", "--calibration", "long.jsonl", "--to", "merged"], "data.max_length"),
        ("evaluate", ["--data.source", "long.jsonl"], "data.max_length"),
        (
            "evaluate",
            ["--data.source", "rows.jsonl", "--evaluation.forgetting", "long.jsonl", "--evaluation.forgetting_rows=4"],
            "evaluation.forgetting_length",
        ),
    ],
)
def test_it_is_refused_with_the_setting_that_cuts_it(place, monkeypatch, capsys, command, options, key, more):
    monkeypatch.chdir(place)
    shared = ["--model.name", str(place / "model"), "--data.validation_rows=4", "--data.test_rows=4"]
    assert main([command, str(place / "adapter"), *shared, *options, *more]) == 2
    err = capsys.readouterr().err
    assert f"the model has positions for 64; set {key} to 64" in err and "Traceback" not in err
