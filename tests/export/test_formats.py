"""Exports to other formats than LoRA, as a user makes them, on a tiny model."""

import json
import shutil

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from qweft import QweftError
from qweft.data.conversation import Message
from qweft.data.template import render
from qweft.evaluation.loss import held_out_loss
from qweft.evaluation.scores import HeldOutLoss
from qweft.exporting import run, write
from qweft.exporting.plan import load_rows, plan_export
from qweft.exporting.run import export
from tests.tiny_folder import save_tiny_model
from tests.tiny_models import tiny_gpt2

TOKENS = torch.arange(3, 27).view(2, 12)
FILES = {
    "gguf": {"adapter.gguf"},
    "merged": {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        "chat_template.jinja",
    },
    "merged-gguf": {"model.gguf"},
}  # fmt: skip


def logits(model):
    with torch.no_grad():
        return model.eval()(TOKENS).logits


def base(folder):
    return AutoModelForCausalLM.from_pretrained(folder / "model")


@pytest.mark.parametrize("to", FILES)
@pytest.mark.parametrize("name", ["mpo", "lora"])
def test_an_adapter_without_circuit_is_the_same_model(trained, tmp_path, name, to):
    report = export(trained / name / "adapter", {"to": to, "output": str(tmp_path / "out")})
    assert report.refusal is None and report.to == to and report.written_relative_difference < 1e-4
    assert report.measured.exported_loss == pytest.approx(report.measured.hybrid_loss, abs=1e-5)
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES[to] | {"README.md", "export.json"}
    for path in (tmp_path / "out").iterdir():
        assert str(trained).encode() not in path.read_bytes(), f"{path.name} names a local path"
    kept = json.loads((tmp_path / "out/export.json").read_text())
    assert kept["to"] == to and kept["written_relative_difference"] == report.written_relative_difference
    if to == "gguf":
        return  # llama.cpp alone reads it: test_gguf.py
    source = {"gguf_file": "model.gguf"} if to == "merged-gguf" else {}
    wanted = logits(PeftModel.from_pretrained(base(trained), trained / name / "adapter"))
    found = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out", **source))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert (wanted - logits(base(trained))).abs().max() > 1e-2
    read = AutoTokenizer.from_pretrained(tmp_path / "out", **source)
    own = AutoTokenizer.from_pretrained(trained / "model")
    messages = [{"role": "user", "content": "What follows 12?"}]
    assert read.apply_chat_template(messages) == own.apply_chat_template(messages)


@pytest.mark.parametrize(
    "own", [{"temperature": 0.9, "top_p": 0.6}, {"do_sample": True, "top_k": 5}, {"pad_token_id": -1}]
)
def test_a_merged_model_keeps_the_settings_of_its_base_model(tmp_path, own):
    """Also those that transformers refuses to save once they are changed, as vicuna-7b-v1.5's."""
    save_tiny_model(tmp_path / "model")
    (tmp_path / "model/generation_config.json").write_text(json.dumps(own))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    (tmp_path / "out").mkdir()
    write.write_whole("merged", tmp_path / "out", model, "tiny", tokenizer)
    kept = json.loads((tmp_path / "out/generation_config.json").read_text())
    assert {name: kept[name] for name in own} == own and kept["eos_token_id"] == [tokenizer.eos_token_id]


def test_a_circuit_is_merged_as_the_lora_that_was_measured(trained, tmp_path):
    adapter = trained / "qtha/adapter"
    lora = export(adapter, {"output": str(tmp_path / "lora")}, force=True)
    merged = export(adapter, {"to": "merged", "output": str(tmp_path / "merged")}, force=True)
    assert merged.measured == lora.measured and merged.layers
    wanted = logits(PeftModel.from_pretrained(base(trained), tmp_path / "lora"))
    torch.testing.assert_close(
        logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged")), wanted, rtol=1e-4, atol=1e-4
    )
    card = (tmp_path / "merged/README.md").read_text()
    assert f"{merged.measured.exported_loss:.4f}" in card and "replaced by its best linear fit" in card


def test_a_merged_model_in_half_precision_is_judged_as_it_is_written(trained, tmp_path, monkeypatch):
    options = {"to": "merged", "output": str(tmp_path / "out"), "model": {"dtype": "bfloat16"}}
    report = export(trained / "mpo/adapter", options, force=True)
    plan = plan_export(trained / "mpo/adapter", options | {"output": None, "to": "gguf"})
    tokenizer = AutoTokenizer.from_pretrained(trained / "model")
    rows = load_rows(plan, tokenizer)[0].test
    written = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.bfloat16)
    found = held_out_loss(written, rows, tokenizer.pad_token_id, plan.evaluation.batch_size).loss
    assert report.measured.exported_loss == found != report.measured.hybrid_loss
    bad = HeldOutLoss(9.0, 8103.1, 1, None, ((9.0, 1),))
    monkeypatch.setattr(
        "qweft.exporting.run.held_out_loss",
        lambda model, *rest: held_out_loss(model, *rest) if hasattr(model, "peft_config") else bad,
    )
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(QweftError, match="bfloat16 rounds the merged weights"):
        export(trained / "mpo/adapter", options)
    assert not (tmp_path / "out").exists()


def test_what_is_written_wrongly_is_not_kept(trained, tmp_path, monkeypatch):
    """Whatever goes wrong between the measurement and the file shows when it is read back."""
    monkeypatch.setattr(run, "merged", lambda model: model.unload())
    monkeypatch.setattr(write, "with_lora", lambda base, lora, config: base)
    for to in FILES:
        with pytest.raises(QweftError, match=r"read back, differs from what was measured by .* nothing was written"):
            export(trained / "mpo/adapter", {"to": to, "output": str(tmp_path / "out")})
    assert not (tmp_path / "out").exists()


def test_a_format_that_the_base_model_does_not_have_is_refused_at_once(trained, tmp_path):
    model = tiny_gpt2()
    model.resize_token_embeddings(len(AutoTokenizer.from_pretrained(trained / "model")))
    model.save_pretrained(tmp_path / "gpt2")
    AutoTokenizer.from_pretrained(trained / "model").save_pretrained(tmp_path / "gpt2")
    for to in ("gguf", "merged-gguf"):
        with pytest.raises(QweftError, match="'gpt2'; give --to merged"):
            export(trained / "mpo/adapter", {"to": to, "model": {"name": str(tmp_path / "gpt2")}})


def test_a_link_in_the_place_of_the_output_is_not_followed(trained, tmp_path):
    """A stranger's folder may lead to an export of one's own."""
    run = shutil.copytree(trained / "mpo", tmp_path / "run", ignore=shutil.ignore_patterns(*FILES, "lora"))
    export(trained / "qtha/adapter", {"output": str(tmp_path / "mine")}, force=True)
    before = {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    (run / "lora").symlink_to(tmp_path / "mine")
    with pytest.raises(QweftError, match=r"output .*lora is a link"):
        export(run / "adapter", {"data": {"source": str(trained / "rows.jsonl")}})
    assert {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()} == before


def test_a_merged_model_without_a_template_asks_and_ends_as_it_was_trained(trained, tmp_path):
    shutil.copytree(trained / "model", tmp_path / "model")
    (tmp_path / "model/chat_template.jinja").unlink()
    options = {"to": "merged", "output": str(tmp_path / "out"), "model": {"name": str(tmp_path / "model")}}
    export(trained / "mpo/adapter", options, force=True)
    own, read = (AutoTokenizer.from_pretrained(tmp_path / name) for name in ("model", "out"))
    asked = render([Message("user", "What follows 12?")], own, answer_next=True)
    messages = [{"role": "user", "content": "What follows 12?"}]
    assert read.apply_chat_template(messages, add_generation_prompt=True, tokenize=False) == asked
    settings = json.loads((tmp_path / "out/generation_config.json").read_text())
    assert own.eos_token_id in settings["eos_token_id"]
