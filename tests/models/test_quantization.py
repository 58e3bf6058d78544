"""Base models that are quantised as they load: the numbers are PEFT's, in all commands; and what is refused."""

import json
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

from qweft.adapter.attach import adapter_config, attach
from qweft.cli.main import main
from qweft.core.errors import QweftError
from qweft.data.config import DataConfig
from qweft.data.load import load_data
from qweft.evaluation.loss import held_out_loss
from qweft.method.specification import ON_QUANTIZED, check_on_quantized
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.models.quantization import QUANTIZATIONS
from qweft.training.config import TrainingConfig
from qweft.training.loop import fit
from qweft.training.plan import footprint
from tests.comparison.test_peft_methods import COMPARED, rows
from tests.data.tiny_tokenizer import CHATML, make_tokenizer
from tests.tiny_folder import save_rows

pytest.importorskip("bitsandbytes")
LORA = {"r": 2, "target_modules": ["q_proj", "v_proj"]}
KINDS = [*QUANTIZATIONS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny Llama with a tokenizer, whose layers are large enough for blocks of 64, and rows."""
    path = tmp_path_factory.mktemp("base")
    tokenizer = make_tokenizer(CHATML)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = LlamaConfig(vocab_size=len(tokenizer), num_hidden_layers=2, initializer_range=0.2, **sizes)
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    save_rows(path / "rows.jsonl")
    return path


def config_of(folder, quantization, **changes):
    return ModelConfig(str(folder), dtype="float32", device="cpu", quantization=quantization, **changes)


def by_hand(folder, quantization, dtype=torch.float32):
    """The model as a user of transformers would load it; 4 bits as in QLoRA."""
    asked = (
        BitsAndBytesConfig(load_in_8bit=True)
        if quantization == "8bit"
        else BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    )
    return AutoModelForCausalLM.from_pretrained(folder, quantization_config=asked, dtype=dtype, device_map="cpu")


def losses(model, text, pad):
    """The training losses of LoRA, and its held-out loss after."""
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(lora_alpha=4, task_type="CAUSAL_LM", **LORA))
    training = TrainingConfig(learning_rate=1e-2, max_steps=4, batch_size=2, gradient_accumulation=1)
    found = fit(adapted, text, pad, training)
    return [loss for _, loss in found.curve], held_out_loss(adapted, text, pad, 4).loss


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_those_of_peft_on_plain_transformers(folder, kind):
    loaded = load_model(config_of(folder, kind))
    text = load_data(DataConfig(source=str(folder / "rows.jsonl"), max_length=64), loaded.tokenizer).train
    ours = losses(loaded.model, text, loaded.tokenizer.pad_token_id)
    theirs = losses(by_hand(folder, kind), text, loaded.tokenizer.pad_token_id)
    plain = losses(load_model(config_of(folder, None)).model, text, loaded.tokenizer.pad_token_id)
    assert ours[0] == theirs[0]
    assert ours[1] == pytest.approx(theirs[1], rel=2e-3)  # theirs may repack their weights when they are judged
    assert ours[0] != plain[0] and ours[0] == pytest.approx(plain[0], rel=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_ran_before_changes_a_weight(folder, kind):
    model = load_model(config_of(folder, kind)).model
    before = {
        name: each.detach().clone() for name, each in model.state_dict().items() if isinstance(each, torch.Tensor)
    }
    with torch.no_grad():
        first = model(input_ids=torch.arange(8)[None]).logits
    model.train()
    assert torch.equal(first, model.eval()(input_ids=torch.arange(8)[None]).logits)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items() if name in before)


CPU = ["--model.dtype", "float32", "--model.device", "cpu"]


def arguments(folder, output, kind="4bit", model=None):
    return [
        "--model.name", str(model or folder), "--model.quantization", kind, *CPU,
        "--data.source", str(folder / "rows.jsonl"), "--data.validation_rows", "4", "--data.test_rows", "4",
        "--data.max_length", "64", "--training.max_steps", "2", "--training.batch_size", "2",
        "--training.gradient_accumulation", "1", "--evaluation.answers", "0", "--output", str(output),
    ]  # fmt: skip


ADAPTER = ["--adapter.preset", "qtha", "--adapter.target_modules", "[q_proj, v_proj]"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_adapter_is_judged_on_the_same_base_to_the_bit(folder, tmp_path, capsys, kind):
    output = tmp_path / "run"
    assert main(["train", *arguments(folder, output, kind), *ADAPTER]) == 0
    assert QUANTIZATIONS[kind] in " ".join(capsys.readouterr().out.split())
    record = json.loads((output / "run.json").read_text())
    assert record["config"]["model"]["quantization"] == kind and QUANTIZATIONS[kind] in record["model_origin"]
    assert main(["evaluate", str(output / "adapter"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [found["base"]["loss"], found["adapted"]["loss"]] == [record["base"]["loss"], record["adapted"]["loss"]]
    assert main(["evaluate", str(output / "adapter"), "--json", "--model.quantization", "null"]) == 0
    assert json.loads(capsys.readouterr().out)["base"]["loss"] != record["base"]["loss"]
    assert main(["inspect", str(output / "adapter"), "--rows", "4", "--tokens", "8"]) == 0
    assert main(["export", str(output / "adapter"), "--calibration", str(folder / "rows.jsonl"),
                 "--calibration-tokens", "64", "--force", "--output", str(tmp_path / "lora")]) == 0  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_foretells_the_bytes_of_the_weights(folder, kind):
    shapes = load_model(replace(config_of(folder, kind), device="meta")).model
    foretold = footprint(get_peft_model(shapes, LoraConfig(r=2, target_modules=["q_proj"])), 0, TrainingConfig(), 16)
    real = load_model(config_of(folder, kind)).model
    states = [each.quant_state for each in real.parameters() if hasattr(each, "quant_state")]
    held = [*real.parameters(), *(state.absmax for state in states)]
    assert abs(foretold.base_weights / sum(each.nbytes for each in held) - 1) < 0.1
    plain = sum(each.nbytes for each in load_model(config_of(folder, None)).model.parameters())
    assert foretold.base_weights < 0.7 * plain


def said(capsys, words):
    assert main(words) == 2
    return capsys.readouterr().err.removeprefix("qweft: error: ").strip()


def test_without_the_package_one_sentence_says_how_to_get_it(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("qweft.models.quantization.find_spec", lambda name: None)
    expected = "model.quantization 4bit needs the package bitsandbytes; pip install '.[quantized]', or leave it out"
    for command in ("train", "plan"):
        assert said(capsys, [command, *arguments(folder, tmp_path / "run")]) == expected
    with pytest.raises(QweftError, match="needs the package bitsandbytes"):
        load_model(config_of(folder, "4bit"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_is_quantised_already(folder, tmp_path, capsys, kind):
    by_hand(folder, "4bit").save_pretrained(tmp_path / "packed")
    make_tokenizer(CHATML).save_pretrained(tmp_path / "packed")
    told = said(capsys, ["train", *arguments(folder, tmp_path / "run", kind, tmp_path / "packed")])
    already = "is quantised already (quant_method 'bitsandbytes' in its config.json)"
    assert told.endswith(f"{already}; leave model.quantization {kind} out"), told
    with pytest.raises(QweftError, match="is quantised already"):
        load_model(config_of(tmp_path / "packed", kind))
    load_model(config_of(tmp_path / "packed", None))


ON_THEM = {name: each for name, each in COMPARED.items() if each["peft_type"] in ON_QUANTIZED}
SETTINGS = {
    "ADALORA": {"total_step": 100, "tinit": 1, "tfinal": 1, "deltaT": 1},
    "TRAINABLE_TOKENS": {"token_indices": [*range(1, 64)]},
}


def taken(specification, kind):
    try:
        check_on_quantized(specification, kind)
    except QweftError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ON_THEM)
def test_a_method_that_is_taken_trains_and_comes_back(folder, tmp_path, name, kind):
    specification = {**COMPARED[name], **SETTINGS.get(name, {})}
    if not taken(specification, kind):
        pytest.skip("refused in one sentence")
    model = load_model(config_of(folder, kind)).model
    ids = torch.tensor([rows()[0]["input_ids"]])
    with torch.no_grad():
        base = model(ids).logits
    torch.manual_seed(0)
    adapted = attach(model, adapter_config(specification)).eval()
    with torch.no_grad():
        first = adapted(ids).logits
    assert name in ("FOURIERFT", "C3A", "VBLORA", "WAVEFT") or (first - base).norm() < 1e-5 * base.norm()
    fit(adapted, rows(), 0, TrainingConfig(max_steps=3, batch_size=4, gradient_accumulation=1, learning_rate=1e-2))
    with torch.no_grad():
        last = adapted.eval()(ids).logits
    assert 1e-5 * base.norm() < (last - first).norm() < base.norm()
    adapted.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(load_model(config_of(folder, kind)).model, tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(again(ids).logits, last)
