"""Hot-swapping: another adapter's weights in the place of this one's, or nothing changed at all."""

import pytest
import torch
from peft import PeftModel, get_peft_model

import qweft
from qweft import QweftError
from tests.adapter.test_method import logits, small, trained
from tests.tiny_models import tiny_llama


def save(folder, preset="qtha", seed=0, **changes):
    """Save a trained adapter, and return what it gives."""
    base = tiny_llama()
    torch.manual_seed(seed)
    model = trained(get_peft_model(base, small(preset, init_weights=False, **changes)))
    model.save_pretrained(folder)
    return logits(model)


def loaded(folder, name="default"):
    return PeftModel.from_pretrained(tiny_llama(), folder, adapter_name=name).eval()


def test_only_the_named_adapter_changes(tmp_path):
    first = save(tmp_path / "a")
    second = save(tmp_path / "b", seed=2)
    model = loaded(tmp_path / "a", "a")
    model.load_adapter(tmp_path / "a", "ab")
    model.set_adapter("ab")
    qweft.hotswap_adapter(model, tmp_path / "b", "ab")
    assert torch.equal(logits(model), second)
    model.set_adapter("a")
    assert torch.equal(logits(model), first)


@pytest.mark.parametrize("wrapped", ["whole", "base"])
def test_a_compiled_model_is_not_compiled_again(tmp_path, wrapped):
    first = save(tmp_path / "a")
    second = save(tmp_path / "b", seed=2)
    graphs = []

    def backend(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    base = tiny_llama()
    if wrapped == "base":
        base = torch.compile(base, backend=backend)
    model = PeftModel.from_pretrained(base, tmp_path / "a").eval()
    if wrapped == "whole":
        model = torch.compile(model, backend=backend)
    torch.testing.assert_close(logits(model), first, rtol=0, atol=1e-5)
    compiled = len(graphs)
    assert compiled
    qweft.hotswap_adapter(model, tmp_path / "b")
    torch.testing.assert_close(logits(model), second, rtol=0, atol=1e-5)
    assert len(graphs) == compiled


@pytest.mark.parametrize(
    ("preset", "changes", "message"),
    [
        ("qwthn", {}, "core is 'quantum_weighted' there and 'quantum_linear' here"),
        ("qtha", {"reupload": False}, "reupload is False there and True here"),
        ("qtha", {"rank_pattern": {"v_proj": 2}}, "size mismatch"),
        ("qtha", {"target_modules": ["q_proj"]}, "missing"),
        ("qtha", {"modules_to_save": ["lm_head"]}, "heads is"),
    ],
)
def test_another_structure_is_refused_and_nothing_changes(tmp_path, preset, changes, message):
    first = save(tmp_path / "a")
    save(tmp_path / "b", preset, seed=2, alpha=1.0, **changes)
    model = loaded(tmp_path / "a")
    with pytest.raises(QweftError, match=message):
        qweft.hotswap_adapter(model, tmp_path / "b")
    assert torch.equal(logits(model), first)
    assert model.peft_config["default"].alpha is None
