"""An adapter's folder opened again."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from rich.console import Console
from safetensors.torch import load_file, save_file

from qweft.adapter.attach import adapter_config, attach
from qweft.core.errors import QweftError
from qweft.core.files import write_json
from qweft.core.records import write_record
from qweft.data.load import load_data
from qweft.evaluation import saved
from qweft.evaluation.loss import held_out_loss
from qweft.evaluation.noise.config import NoiseConfig
from qweft.evaluation.noise.run import evaluate_on_device
from qweft.evaluation.record import model_of, sections_of
from qweft.evaluation.run import evaluate
from qweft.evaluation.saved import put_on
from qweft.exporting.run import export
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.models.packages import SMOLLM2
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.run import train
from tests.tiny_folder import save_rows, save_tiny_model


def test_an_adapter_of_another_method_whose_file_lacks_a_tensor_is_refused(tmp_path):
    config = ModelConfig(save_tiny_model(tmp_path / "model"), dtype="float32", device="cpu")
    model = get_peft_model(load_model(config).model, LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    model.save_pretrained(tmp_path / "adapter")
    put_on(load_model(config), tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({key.replace("lora_A", "lora_a"): tensor for key, tensor in load_file(file).items()}, file)
    with pytest.raises(QweftError, match=r"the adapter does not load on .*Found missing adapter keys"):
        put_on(load_model(config), tmp_path / "adapter")


ROWS = {"validation_rows": 4, "test_rows": 8, "max_length": 64}


@pytest.fixture
def stranger(tmp_path):
    """A folder with a model, rows, a LoRA, and a function that writes the record of its run."""
    base = save_tiny_model(tmp_path / "model")
    rows = save_rows(tmp_path / "rows.jsonl")
    torch.manual_seed(0)
    config = LoraConfig(target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(load_model(ModelConfig(base)).model, config).save_pretrained(tmp_path / "adapter")

    def write(own=True, **sections):
        found = {"model": {"name": base}, "data": {"source": rows, **ROWS}, "evaluation": {"answers": 0}}
        record = {name: found[name] | sections.get(name, {}) for name in found}
        write_record(tmp_path / "run.json", {"config": record}, "config" if own else None)
        return tmp_path / "adapter"

    return write


WITH_CODE = [{"lm_eval": ["task.yaml"]}, {"lm_eval": ["gsm8k", "arc_easy"]}, {"metrics": ["verifier"]}]


@pytest.mark.parametrize("wanted", WITH_CODE)
def test_what_can_run_code_is_not_taken_from_a_record(stranger, wanted, monkeypatch, capsys):
    def refuse(*arguments):
        pytest.fail(f"the record ran {arguments}")

    monkeypatch.setattr("qweft.evaluation.run.run_harness", refuse)
    adapter = stranger(evaluation=wanted | {"answers": 0, "batch_size": 5})
    found = sections_of(adapter, {})[2]
    assert (found.lm_eval, found.metrics, found.batch_size) == ([], [], 5)
    evaluated = evaluate(adapter, {})
    assert [each.name for each in evaluated.scores] == ["loss", "perplexity"] and evaluated.harness is None
    name, values = next(iter(wanted.items()))
    assert f"give --evaluation.{name} {','.join(values)} to run it" in capsys.readouterr().err
    asked = sections_of(adapter, {"evaluation": wanted})[2]
    assert getattr(asked, name) == values


def test_a_record_beside_an_adapter_of_another_base_model_is_another_runs(stranger, tmp_path, monkeypatch):
    """As of a LoRA that was trained on an export of the run, and saved beside it."""
    adapter, base = stranger(), str(tmp_path / "model")
    assert model_of(adapter, {}).name == base
    for named in ("merged", f"{base}/merged", "Other/Model", SMOLLM2.hub_id):
        write_named(adapter, named)
        for read in (sections_of, model_of):
            with pytest.raises(QweftError, match=rf"names the base model {named}, and .*--model\.name"):
                read(adapter, {})
    assert sections_of(adapter, {"model": {"name": base}})[0].name == base
    write_named(adapter, f"{base}/../model/")
    assert model_of(adapter, {}).name == base
    monkeypatch.setenv("HOME", str(tmp_path))
    write_named(stranger(model={"name": "~/model"}), base)
    assert model_of(adapter, {}).name == "~/model"


def write_named(adapter, named):
    file = adapter / "adapter_config.json"
    write_json(file, json.loads(file.read_text()) | {"base_model_name_or_path": named})


def test_another_source_is_judged_and_not_the_test_source_of_the_run(stranger, tmp_path):
    adapter = stranger(data={"test_source": str(tmp_path / "test.jsonl"), "max_rows": 5})
    data = sections_of(adapter, {"data": {"source": "embedded:gsm8k"}})[1]
    assert (data.source_of("test"), data.max_rows) == ("embedded:gsm8k", None)
    both = {"source": "embedded:gsm8k", "test_source": "embedded:chitchat"}
    assert sections_of(adapter, {"data": both})[1].source_of("test") == "embedded:chitchat"
    same = sections_of(adapter, {})[1]
    assert (same.source_of("test"), same.max_rows) == (str(tmp_path / "test.jsonl"), 5)


def test_only_embedded_data_are_taken_from_the_record_of_another(stranger, tmp_path, monkeypatch):
    rows, other = str(tmp_path / "rows.jsonl"), "some/data set"
    named = {"data": {"test_source": other}, "evaluation": {"forgetting": "embedded:gsm8k"}}
    assert sections_of(stranger(**named), {})[1].test_source == other
    adapter = stranger(own=False, **named)
    wanted = f"was not written by you on this machine.*give --data.source {rows} --data.test_source '{other}'$"
    for command in (sections_of, evaluate):
        with pytest.raises(QweftError, match=wanted):
            command(adapter, {})
    data = sections_of(adapter, {"data": {"source": rows, "test_source": None}})[1]
    assert (data.source, data.test_source) == (rows, None)
    embedded = sections_of(stranger(own=False, data={"source": "embedded:gsm8k"}), {})[1]
    assert embedded.source == "embedded:gsm8k"
    stranger()
    changed = json.loads((tmp_path / "run.json").read_text())
    changed["config"]["data"]["source"] = "/etc/hosts"  # a mark is of one config alone
    (tmp_path / "run.json").write_text(json.dumps(changed))
    with pytest.raises(QweftError, match=r"give --data\.source /etc/hosts"):
        sections_of(adapter, {})
    stranger()
    monkeypatch.setenv("QWEFT_CACHE", str(tmp_path / "another user's"))
    with pytest.raises(QweftError, match="was not written by you"):
        sections_of(adapter, {})


def base_loss(adapter, untouched):
    """The base column of an evaluation, and the loss of the model without any adapter."""
    found = evaluate(adapter, {"evaluation": {"answers": 1, "max_new_tokens": 4}})
    data = load_data(sections_of(adapter, {})[1], untouched.tokenizer)
    alone = held_out_loss(untouched.model, data.test, untouched.tokenizer.pad_token_id, 8)
    assert found.adapted.loss != found.base.loss
    return found.base.loss, alone.loss


@pytest.mark.parametrize(
    "kind",
    ["embeddings", "any weight", "biases", "pissa", "repeated", "a head to save", "embeddings adapted"],
)
def test_the_base_column_is_the_base_model_whatever_the_file_holds(stranger, kind, tmp_path):
    adapter = stranger()
    model = load_model(ModelConfig(str(tmp_path / "model")))
    file = adapter / "adapter_model.safetensors"
    prefix = "base_model.model."
    if kind in ("embeddings", "any weight"):
        names = ["model.embed_tokens.weight", "lm_head.weight"] if kind == "embeddings" else ["model.norm.weight"]
        own = dict(model.model.named_parameters())
        replaced = {prefix + name: torch.randn_like(own[name]) for name in names}
        save_file(load_file(file) | replaced, file)
    else:
        fields = {
            "biases": {"bias": "all", "target_modules": ["q_proj"]},
            "pissa": {"init_lora_weights": "pissa", "target_modules": ["q_proj"]},
            "repeated": {"layer_replication": [[0, 2], [1, 2]], "target_modules": ["q_proj"]},
            "a head to save": {"modules_to_save": ["lm_head"], "target_modules": ["q_proj"]},
            "embeddings adapted": {"target_modules": ["embed_tokens", "q_proj"]},
        }[kind]
        adapted = get_peft_model(load_model(ModelConfig(str(tmp_path / "model"))).model, LoraConfig(**fields))
        with torch.no_grad():
            for parameter in adapted.parameters():
                if parameter.requires_grad:
                    parameter += 0.3 * torch.randn_like(parameter)
        adapted.save_pretrained(adapter)
    base, alone = base_loss(adapter, model)
    assert base == alone


def test_a_qwthn_adapter_with_embeddings_is_measured_beside_the_base_model(stranger, tmp_path):
    adapter = stranger()
    model = load_model(ModelConfig(str(tmp_path / "model")))
    config = {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj"]}
    adapted = attach(load_model(ModelConfig(str(tmp_path / "model"))).model, adapter_config(config))
    with torch.no_grad():
        adapted.get_input_embeddings().weight.normal_()
    adapted.save_pretrained(adapter, save_embedding_layers=True)
    base, alone = base_loss(adapter, model)
    assert base == alone
    with pytest.raises(QweftError, match=r"changes the base model's own weights .* --to merged"):
        export(adapter, {"output": str(tmp_path / "lora")})
    config = NoiseConfig(device="exact", tokens="targets", output=str(tmp_path / "robustness"))
    measured = evaluate_on_device(adapter, {}, config, console=Console(quiet=True))
    assert measured.base.loss == pytest.approx(alone, abs=1e-6)


def test_the_base_loss_of_a_training_is_the_base_models_even_if_the_start_rewrites_weights(stranger, tmp_path):
    sections = sections_of(stranger(), {})
    adapter = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"], "init_lora_weights": "pissa"}
    training = TrainingConfig(max_steps=1, learning_rate=1e-2)
    found = train(RunConfig(*sections[:2], adapter, training, output=str(tmp_path / "run")))
    model = load_model(sections[0])
    rows = load_data(sections[1], model.tokenizer).test
    assert found.base.loss == held_out_loss(model.model, rows, model.tokenizer.pad_token_id, 8).loss


def test_places_beyond_a_matrix_are_not_written(tmp_path):
    """SHiRA and FRoD make sparse tensors of the places in the file; PyTorch does not look where they are by itself."""
    config = ModelConfig(save_tiny_model(tmp_path / "model"), dtype="float32", device="cpu")
    sparse = adapter_config({"peft_type": "SHIRA", "r": 1, "target_modules": ["q_proj"]})
    made = attach(load_model(config).model, sparse)
    made.save_pretrained(tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    places = {key: tensor + 50 if key.endswith("indices") else tensor for key, tensor in load_file(file).items()}
    save_file(places, file)
    loaded = load_model(config)
    with pytest.raises(QweftError, match=r"does not run with this adapter .*found index"):
        saved.check_runs(put_on(loaded, tmp_path / "adapter"), loaded, tmp_path / "adapter")
