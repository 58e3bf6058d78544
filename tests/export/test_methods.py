"""Methods of PEFT beside LoRA: merged exactly, and as the LoRA that is nearest on text."""

import shutil

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from qweft import QweftError
from qweft.adapter.attach import adapter_config, attach
from qweft.exporting.fit import Moments
from qweft.exporting.low_rank import RIDGE, factors
from qweft.exporting.run import export
from qweft.method.shipping import is_plain_lora, ships
from qweft.models.quantization import keep_unpacked

TOKENS = torch.arange(3, 27).view(2, 12)
ATTENTION = ["q_proj", "v_proj"]
MERGED = {
    "dora": {"peft_type": "LORA", "r": 2, "use_dora": True, "target_modules": ATTENTION},
    "ia3": {"peft_type": "IA3", "target_modules": ["v_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
    "oft": {"peft_type": "OFT", "oft_block_size": 4, "target_modules": ATTENTION},
    "beft": {"peft_type": "BEFT", "target_modules": ["v_proj"]},
    "norms": {"peft_type": "LN_TUNING"},
    "tokens": {"peft_type": "TRAINABLE_TOKENS", "token_indices": [5, 7]},
    "head": {"peft_type": "VERA", "r": 4, "target_modules": ATTENTION, "modules_to_save": ["lm_head"]},
}
FITTED = {
    "loha": {"peft_type": "LOHA", "r": 2, "alpha": 4, "target_modules": ATTENTION},
    "vera": {"peft_type": "VERA", "r": 4, "target_modules": "all-linear"},
    "fourierft": {"peft_type": "FOURIERFT", "n_frequency": 30, "target_modules": ATTENTION},
    "dora": MERGED["dora"],
    "head": MERGED["head"],
}


def logits(model):
    with torch.no_grad():
        return model.eval()(TOKENS).logits


def saved(trained, folder, specification, base=None):
    """The folder of an adapter with weights that matter, and the logits of its model."""
    torch.manual_seed(3)
    base = base or AutoModelForCausalLM.from_pretrained(trained / "model")
    model = attach(base, adapter_config(specification))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder / "adapter")
    return folder / "adapter", logits(model)


@pytest.mark.parametrize("name", MERGED)
def test_a_merged_model_computes_what_its_adapter_did(trained, tmp_path, name):
    adapter, wanted = saved(trained, tmp_path, MERGED[name])
    report = export(adapter, {"to": "merged", "calibration": str(trained / "rows.jsonl")}, force=True)
    assert report.rank is None and report.written_relative_difference < 1e-4
    found = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged"))
    change = (wanted - logits(AutoModelForCausalLM.from_pretrained(trained / "model"))).abs().max()
    assert change > 1e-3 and (found - wanted).abs().max() < 1e-3 * change


def test_a_head_that_was_the_input_embedding_too_is_merged_alone(trained, tmp_path):
    tied = AutoModelForCausalLM.from_pretrained(trained / "model")
    tied.config.tie_word_embeddings = True
    tied.tie_weights(recompute_mapping=True)
    tied.save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(trained / "model").save_pretrained(tmp_path / "model")
    adapter, wanted = saved(trained, tmp_path, MERGED["head"], tied)
    options = {"calibration": str(trained / "rows.jsonl"), "model": {"name": str(tmp_path / "model")}}
    export(adapter, {**options, "to": "merged"}, force=True)
    found = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged"))
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", FITTED)
def test_an_additive_method_becomes_the_lora_of_a_rank(trained, tmp_path, name):
    adapter, wanted = saved(trained, tmp_path, FITTED[name])
    base = logits(AutoModelForCausalLM.from_pretrained(trained / "model"))
    errors = []
    for rank in (1, 5, 20):
        options = {"rank": rank, "output": str(tmp_path / f"lora{rank}"), "calibration": str(trained / "rows.jsonl")}
        report = export(adapter, options, force=True)
        assert report.rank == rank and report.written_relative_difference < 1e-4 and report.layers
        model = AutoModelForCausalLM.from_pretrained(trained / "model")
        plain = PeftModel.from_pretrained(model, tmp_path / f"lora{rank}")
        errors.append((logits(plain) - wanted).norm() / (wanted - base).norm())
    assert errors[2] < 1e-2 and errors[2] <= errors[1] + 1e-4 <= errors[0] + 1e-3


def test_without_a_rank_the_smallest_is_taken_that_keeps_the_share(trained, tmp_path):
    """The adapter is made to gain, by the change of a trained LoRA."""
    calibration = {"calibration": str(trained / "rows.jsonl"), "model": {"name": str(trained / "model")}}
    run = shutil.copytree(trained / "lora", tmp_path / "run")
    report = export(run / "adapter", {"rank": 1, "output": str(tmp_path / "one")}, force=True)
    assert report.rank == 1 and report.method == "LORA"
    with pytest.raises(QweftError, match="LoRA already; give --rank"):
        export(run / "adapter", {"to": "lora"})
    adapter, _ = saved(trained, tmp_path, FITTED["loha"])
    found = export(adapter, {**calibration, "keep_share": 0.5}, force=True)
    assert found.rank in (1, 2, 4, 8, 16, 20)


@pytest.mark.parametrize("to", ["merged", "lora"])
def test_a_base_model_in_4_bits_is_merged_as_numbers(trained, tmp_path, to):
    pytest.importorskip("bitsandbytes")
    scheme = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(
        trained / "model", quantization_config=scheme, device_map={"": "cpu"}, dtype=torch.float32
    )
    adapter, wanted = saved(trained, tmp_path, FITTED["vera"], keep_unpacked(base))
    options = {"calibration": str(trained / "rows.jsonl"), "model": {"quantization": "4bit", "dtype": "float32"}}
    report = export(adapter, {**options, "to": to}, force=True)
    assert report.written_relative_difference < 1e-4
    if to == "merged":
        found = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged"))
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("specification", "to", "words"),
    [
        (MERGED["ia3"], "lora", "no LoRA is near IA3.*give --to merged"),
        (MERGED["oft"], "gguf", "rotates.*give --to merged-gguf"),
        ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2}, "merged", "Python alone"),
        ({**MERGED["head"]}, "gguf", "trained whole"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_at_once(trained, tmp_path, specification, to, words):
    adapter, _ = saved(trained, tmp_path, specification)
    with pytest.raises(QweftError, match=words):
        export(adapter, {"to": to, "calibration": str(trained / "rows.jsonl")})


def test_how_methods_ship():
    assert ships({"peft_type": "LORA"}) == ships({"preset": "qtha"}) == ships(FITTED["vera"]) == "lora"
    assert ships(MERGED["ia3"]) == ships({"peft_type": "LORA", "bias": "all"}) == "merged"
    assert ships({"peft_type": "prompt_tuning"}) == "python"
    assert is_plain_lora({"peft_type": "LORA", "r": 2}) and not is_plain_lora(MERGED["dora"])


@pytest.mark.parametrize("shape", [(6, 9), (9, 6)])
def test_no_lora_of_the_rank_has_a_smaller_error_on_the_tokens(shape):
    """Against the singular vectors of D M^(1/2), and against those of D alone."""
    generator = torch.Generator().manual_seed(0)
    change = torch.randn(shape, generator=generator, dtype=torch.float64)
    x = torch.randn(200, shape[1], generator=generator, dtype=torch.float64) * torch.logspace(0, 2, shape[1])
    halves = [Moments.of(part, part.new_zeros(len(part), 0)) for part in (x[::2], x[1::2])]
    down, up, kept = factors(change, halves, 6)
    second = x.T @ x
    second.diagonal().add_(RIDGE * second.diagonal().mean())
    values, vectors = torch.linalg.eigh(second)
    root = vectors * values.sqrt() @ vectors.T
    u, s, v = torch.linalg.svd(change @ root, full_matrices=False)
    plain = torch.linalg.svd(change, full_matrices=False)
    for rank in (1, 3, 6):
        made = up[:, :rank].double() @ down[:rank].double()
        best = u[:, :rank] * s[:rank] @ v[:rank] @ torch.linalg.inv(root)
        torch.testing.assert_close(made, best, rtol=1e-4, atol=1e-5)
        assert kept[rank - 1] == pytest.approx(float((s[:rank] ** 2).sum() / (s**2).sum()), abs=1e-9)
        weights_alone = plain[0][:, :rank] * plain[1][:rank] @ plain[2][:rank]
        assert ((change - made) @ root).norm() <= ((change - weights_alone) @ root).norm() + 1e-3
