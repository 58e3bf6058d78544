"""Model cards: what they state, and that loading works as they say."""

import re

import pytest
import torch
import yaml
from peft import PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from qweft import QwthnConfig
from qweft.cli.parser import parse
from qweft.publish.card import run_card
from qweft.training.config import RunConfig
from qweft.training.run import train
from tests.tiny_folder import save_rows, save_tiny_model
from tests.tiny_models import tiny_llama


def saved(folder, preset, **changes):
    config = QwthnConfig.preset(preset, **{"r": 2, "width": 8, "bond_dimension": 2, **changes})
    model = get_peft_model(tiny_llama(), config)
    model.save_pretrained(folder)
    return model, (folder / "README.md").read_text()


@pytest.mark.parametrize("preset", ["qtha", "qwthn", "mpo", "lora"])
def test_every_saved_adapter_says_what_it_is_and_how_to_load_it(tmp_path, preset):
    model, card = saved(tmp_path, preset, modules_to_save=["lm_head"])
    assert card.startswith("---\n") and "library_name: peft" in card
    counted = model.get_nb_trainable_parameters()[0]
    assert f"parameters: {counted:,} (" in card
    parts = re.search(r"parameters: [\d,]+ \((.*)\)", card)[1]
    assert sum(int(number.replace(",", "")) for number in re.findall(r" ([\d,]+\d)\b|$", parts) if number) == counted
    assert "q_proj, v_proj (4 in all)" in card
    assert ("qubits" in card) == (not QwthnConfig.preset(preset).is_linear)


def test_saving_again_adds_nothing_and_what_a_user_wrote_stays(tmp_path):
    model, _ = saved(tmp_path, "qtha")
    model.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text().count("## QWTHN adapter") == 1
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# My adapter\n\nTrained on my notes.\n")
    model.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "license: mit" in card and "Trained on my notes." in card and "import qweft" in card


def test_a_trained_adapters_card_states_data_and_results(tmp_path):
    save_tiny_model(tmp_path / "model")
    save_rows(tmp_path / "rows.jsonl")
    words = ["--model.name", str(tmp_path / "model"), "--data.source", str(tmp_path / "rows.jsonl")]
    words += ["--data.validation_rows", "4", "--data.test_rows", "8", "--training.max_steps", "2"]
    words += ["--adapter.r", "2", "--adapter.width", "8", "--output", str(tmp_path / "run"), "--model.device", "cpu"]
    done = train(parse(RunConfig, words))
    card = (done.adapter_folder / "README.md").read_text()
    assert f"{done.base.loss:.4f}" in card and f"{done.adapted.loss:.4f}" in card
    assert f"parameters: {done.trainable_parameters:,}" in card
    assert "rows.jsonl: 28 training rows" in card and "2 steps of" in card
    assert str(tmp_path) not in card
    # and it loads as the card says
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert torch.isfinite(PeftModel.from_pretrained(base, done.adapter_folder)(torch.arange(4)[None]).logits).all()


def test_names_in_a_card_are_text(tmp_path):
    """Neither markup nor keys of the front matter come from names of data, models or methods."""
    evil = "a\nlicense: mit\n---\n# heading <script>alert(1)</script> [link](http://x.org) **bold** \x1b[2J\u202e"
    loss = {"tokens": 9, "loss": 1.0, "perplexity": 2.7}
    record = {
        "config": {
            "adapter": {"preset": evil}, "model": {"name": evil}, "evaluation": {"split": "test"},
            "training": {"batch_size": 1, "gradient_accumulation": 1, "learning_rate": 0.1, "seed": 0},
        },
        "data": {
            "source": evil, "max_length": 8, "fingerprint": "0" * 64,
            "parts": {"train": {"rows": 1, "target_tokens": 1}},
        },
        "base": loss, "adapted": loss, "training": {"steps": 1, "train_loss": 1.0},
        "model_origin": evil, "model_hub_id": evil,
    }  # fmt: skip
    config = QwthnConfig.preset("qtha", r=2, rank_pattern={"<b>|q*": 2}, target_modules=["q_proj"])
    card = run_card(record, config, {})
    front, text = card.split("\n---\n", 1)
    assert set(yaml.safe_load(front.removeprefix("---"))) == {"library_name", "pipeline_tag", "tags"}
    for mark in ("<script>", "[link]", " **bold**", "\n# heading", "\n---\n", "<b>", "\x1b", "\u202e"):
        assert mark not in text, mark
    record |= {"model_hub_id": "owner/name_1"}
    assert "\nbase_model: owner/name_1\n" in run_card(record, config, {})
