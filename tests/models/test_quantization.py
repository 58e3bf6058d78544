"""Base models that are quantised as they load: the numbers are PEFT's, in all commands; and what is refused."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model

from qweft.cli.main import main
from qweft.core.errors import QweftError
from qweft.data.config import DataConfig
from qweft.data.load import load_data
from qweft.evaluation.loss import held_out_loss
from qweft.models.quantization import QUANTIZATIONS
from qweft.training.config import TrainingConfig
from qweft.training.loop import fit
from qweft.training.plan import footprint
from tests.data.tiny_tokenizer import CHATML, make_tokenizer
from tests.models.quantized_base import load_quantized, load_with_transformers

pytest.importorskip("bitsandbytes")
LORA = {"r": 2, "target_modules": ["q_proj", "v_proj"]}


@pytest.fixture(params=QUANTIZATIONS)
def quantization(request):
    return request.param


def lora_losses(model, rows, pad_token_id):
    """The training losses of LoRA, and its held-out loss after."""
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(lora_alpha=4, task_type="CAUSAL_LM", **LORA))
    training = TrainingConfig(learning_rate=1e-2, max_steps=4, batch_size=2, gradient_accumulation=1)
    curve = fit(adapted, rows, pad_token_id, training).curve
    return [loss for _, loss in curve], held_out_loss(adapted, rows, pad_token_id, 4).loss


def test_losses_are_those_of_peft_on_plain_transformers(base_folder, quantization):
    loaded = load_quantized(base_folder, quantization)
    rows = load_data(DataConfig(str(base_folder / "rows.jsonl"), max_length=64), loaded.tokenizer).train
    pad_token_id = loaded.tokenizer.pad_token_id
    curve, held_out = lora_losses(loaded.model, rows, pad_token_id)
    expected_curve, expected_held_out = lora_losses(
        load_with_transformers(base_folder, quantization), rows, pad_token_id
    )
    assert curve == expected_curve
    # transformers' model may repack its weights when it is judged
    assert held_out == pytest.approx(expected_held_out, rel=2e-3)
    plain_curve, _ = lora_losses(load_quantized(base_folder, None).model, rows, pad_token_id)
    assert curve != plain_curve
    assert curve == pytest.approx(plain_curve, rel=0.2)


def tensors(model):
    """The values of a model's state that are tensors."""
    return {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}


def test_running_a_model_changes_no_weight(base_folder, quantization):
    model = load_quantized(base_folder, quantization).model
    before = {name: tensor.detach().clone() for name, tensor in tensors(model).items()}
    ids = torch.arange(8)[None]
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    model.train()
    assert torch.equal(logits, model.eval()(input_ids=ids).logits)
    after = tensors(model)
    for name in before.keys() & after.keys():
        assert torch.equal(after[name], before[name]), name


SHORT_RUN = [
    *("--data.validation_rows", "4", "--data.test_rows", "4", "--data.max_length", "64"),
    *("--training.max_steps", "2", "--training.batch_size", "2", "--training.gradient_accumulation", "1"),
    *("--evaluation.answers", "0"),
]
ADAPTER = ["--adapter.preset", "qtha", "--adapter.target_modules", "[q_proj, v_proj]"]


@pytest.fixture
def arguments(base_folder, tmp_path):
    """Options of a short run on a quantised model, with its output in `tmp_path / "run"`."""

    def build(quantization, model=base_folder):
        return [
            *("--model.name", str(model), "--model.quantization", quantization),
            *("--model.dtype", "float32", "--model.device", "cpu"),
            *("--data.source", str(base_folder / "rows.jsonl"), *SHORT_RUN),
            *("--output", str(tmp_path / "run")),
        ]

    return build


@pytest.fixture
def trained(arguments, quantization, tmp_path, capsys):
    """The folder of a run, and what was printed."""
    assert main(["train", *arguments(quantization), *ADAPTER]) == 0
    return tmp_path / "run", " ".join(capsys.readouterr().out.split())


def evaluate(folder, capsys, *options):
    assert main(["evaluate", str(folder / "adapter"), "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_says_how_its_base_was_quantised(trained, quantization):
    folder, printed = trained
    record = json.loads((folder / "run.json").read_text())
    assert record["config"]["model"]["quantization"] == quantization
    assert QUANTIZATIONS[quantization] in record["model_origin"]
    assert QUANTIZATIONS[quantization] in printed


def test_a_saved_adapter_is_judged_on_the_same_base_to_the_bit(trained, capsys):
    folder, _ = trained
    record = json.loads((folder / "run.json").read_text())
    judged = evaluate(folder, capsys)
    for model in ("base", "adapted"):
        assert judged[model]["loss"] == record[model]["loss"]
    unquantised = evaluate(folder, capsys, "--model.quantization", "null")
    assert unquantised["base"]["loss"] != record["base"]["loss"]


def test_a_saved_adapter_is_inspected_and_exported(trained, base_folder, tmp_path):
    folder, _ = trained
    adapter = str(folder / "adapter")
    assert main(["inspect", adapter, "--rows", "4", "--tokens", "8"]) == 0
    calibration = ["--calibration", str(base_folder / "rows.jsonl"), "--calibration-tokens", "64"]
    assert main(["export", adapter, *calibration, "--force", "--output", str(tmp_path / "lora")]) == 0


def test_a_plan_predicts_the_bytes_of_the_weights(base_folder, quantization):
    shapes = load_quantized(base_folder, quantization, device="meta").model
    adapted = get_peft_model(shapes, LoraConfig(r=2, target_modules=["q_proj"]))
    predicted = footprint(adapted, 0, TrainingConfig(), 16).base_weights
    weights = list(load_quantized(base_folder, quantization).model.parameters())
    scales = [weight.quant_state.absmax for weight in weights if hasattr(weight, "quant_state")]
    assert predicted == pytest.approx(sum(tensor.nbytes for tensor in (*weights, *scales)), rel=0.1)
    unquantised = load_quantized(base_folder, None).model.parameters()
    assert predicted < 0.7 * sum(weight.nbytes for weight in unquantised)


def refusal(capsys, words):
    """The sentence with which a command is refused."""
    assert main(words) == 2
    return capsys.readouterr().err.removeprefix("qweft: error: ").strip()


@pytest.fixture
def no_bitsandbytes(monkeypatch):
    monkeypatch.setattr("qweft.models.quantization.find_spec", lambda name: None)


@pytest.mark.parametrize("command", ["train", "plan"])
def test_without_the_package_a_command_says_how_to_get_it(no_bitsandbytes, arguments, capsys, command):
    expected = "model.quantization 4bit needs the package bitsandbytes; pip install '.[quantized]', or leave it out"
    assert refusal(capsys, [command, *arguments("4bit")]) == expected


def test_without_the_package_loading_says_how_to_get_it(no_bitsandbytes, base_folder):
    with pytest.raises(QweftError, match="needs the package bitsandbytes"):
        load_quantized(base_folder, "4bit")


@pytest.fixture(scope="module")
def packed_folder(base_folder, tmp_path_factory):
    """A model whose weights were saved in 4 bits."""
    folder = tmp_path_factory.mktemp("packed")
    load_with_transformers(base_folder, "4bit").save_pretrained(folder)
    make_tokenizer(CHATML).save_pretrained(folder)
    return folder


def test_a_model_that_is_quantised_already_is_not_quantised_again(packed_folder, arguments, quantization, capsys):
    message = refusal(capsys, ["train", *arguments(quantization, packed_folder)])
    already = "is quantised already (quant_method 'bitsandbytes' in its config.json)"
    assert message.endswith(f"{already}; leave model.quantization {quantization} out")
    with pytest.raises(QweftError, match="is quantised already"):
        load_quantized(packed_folder, quantization)


def test_a_model_that_is_quantised_already_loads_as_it_is(packed_folder):
    assert load_quantized(packed_folder, None).model.is_quantized
