"""The whole inspection: what it reports, what it leaves alone, and what it refuses."""

import io
import json

import pytest
import torch
from peft import LoraConfig, VeraConfig, get_peft_model
from rich.console import Console

from qweft import QweftError, QwthnConfig, find_bases
from qweft.inspect.describe import describe
from qweft.inspect.measures import MEASURES
from qweft.inspect.run import inspect_adapter
from qweft.method.names import PARTS
from tests.analysis.examples import LORA, SMALL, adapted, batches, with_lora
from tests.tiny_models import tiny_llama

OF_A_CIRCUIT = (
    "circuit_share", "circuit_share_varying", "entanglement", "entanglement_sd", "expressibility", "gradient_variance",
    "gradient_variance_mean",
)  # fmt: skip


def text_of(found):
    console = Console(width=160, file=io.StringIO())
    console.print(describe(found))
    return " ".join(console.file.getvalue().split())


@pytest.mark.parametrize("preset", ["qtha", "qwthn", "mpo", "lora"])
def test_the_form_that_a_report_draws(preset):
    found = inspect_adapter(adapted(preset), batches()).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["adapter"], found["rows"], found["tokens"]) == ("default", 24, 204)
    names = [f"model.layers.{block}.self_attn.{module}" for block in (0, 1) for module in ("q_proj", "v_proj")]
    assert [layer["layer"] for layer in found["layers"]] == names
    assert [(layer["block"], layer["module"]) for layer in found["layers"]][1:3] == [(0, "v_proj"), (1, "q_proj")]
    for layer in found["layers"]:
        assert all((key in layer) == (preset not in ("mpo", "lora")) for key in OF_A_CIRCUIT)
        assert layer["non_affinity"] is not None
        assert len(layer["spectrum"]) == layer["rank"] == 3
        assert (layer["gradient_norms"]["circuit"] is None) == (preset in ("mpo", "lora"))
        assert (layer["gradient_norms"]["tensor_network"] is None) == (preset == "lora")
    mean = sum(layer["different_maps"] for layer in found["layers"]) / 4
    assert found["means"]["different_maps"] == pytest.approx(mean, rel=1e-5)  # written with six digits
    assert set(found["means"]) == set(found["layers"][0]) - {
        *("layer", "module", "block", "rank", "spectrum", "gradient_norms")
    }


def test_every_number_is_shown_or_left_out_on_purpose():
    numbers = {*inspect_adapter(adapted("qtha"), batches()).layers[0].numbers}
    shown = {measure.key for measure in MEASURES}
    assert numbers - shown == {"stable_rank_token", "rank_token", "entanglement_sd"}
    assert shown - numbers == {f"gradient_norms.{part}" for part in PARTS}


def test_lora_stands_beside_it():
    """PEFT's LoRA, and the same matrices in our family's member `lora`, have the same numbers."""
    model, ours = with_lora(), adapted("lora", alpha=8.0)
    for layer, copy in zip(_layers(model, "lora_A"), _layers(ours, "qwthn_compress"), strict=True):
        copy.qwthn_compress["default"].weight.data.copy_(layer.lora_A["default"].weight)
        copy.qwthn_expand["default"].weight.data.copy_(layer.lora_B["default"].weight)
    found, same = inspect_adapter(model, batches()), inspect_adapter(ours, batches())
    for one, other in zip(found.layers, same.layers, strict=True):
        assert one.numbers["different_maps"] == pytest.approx(1)
        assert one.spectrum == pytest.approx(other.spectrum)
        assert all(name not in one.numbers for name in ("non_affinity", "circuit_share", "entanglement"))
    assert "Different maps over the tokens 1 1 for every linear branch" in text_of(found)


def _layers(model, holder):
    return [module for module in model.modules() if getattr(module, holder, None)]


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("qtha", {}),
        ("subspace", {"init_weights": True}),
        ("readout", {"init_weights": True}),
        ("sparse", {"init_weights": True}),
        ("subspace", {"init_weights": True, "compress": "basis", "expand": "basis", "core": "linear", "basis_bits": 8}),
    ],
)
def test_the_size_is_that_of_the_layers_own_outputs(preset, changes):
    """The branch's output by its own forward pass, on the tokens that are no padding."""
    model = adapted(preset, **changes)
    if preset != "qtha":
        find_bases(model, batches())  # directions packed as integers
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.normal_()
    found = inspect_adapter(model, batches())
    for layer in found.layers:
        module, squares = model.get_base_model().get_submodule(layer.layer), {"base": 0.0, "branch": 0.0}

        def watch(module, args, squares=squares):
            x = args[0][squares["mask"]]
            with torch.no_grad():
                base = module.base_layer(x)
                squares["base"] += float(base.square().sum())
                squares["branch"] += float((module.add_branch(base, x, "default") - base).square().sum())

        hook = module.register_forward_pre_hook(watch)
        with torch.no_grad():
            for batch in batches():
                squares["mask"] = batch["attention_mask"].bool()
                model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        hook.remove()
        assert layer.numbers["relative_size"] == pytest.approx((squares["branch"] / squares["base"]) ** 0.5, rel=1e-4)


def test_gradients_are_those_of_a_backward_pass():
    model = adapted("qtha").eval()
    found = inspect_adapter(model, batches())
    rows = {key: value[:2] for key, value in batches()[0].items()}
    model(**rows).loss.backward()
    for layer in found.layers:
        module = model.get_base_model().get_submodule(layer.layer)
        core, expand = module.qwthn_core["default"], module.qwthn_expand["default"]
        compress = module.qwthn_compress["default"]
        networks = [core.grad for part in (compress, expand) for core in part.operator.cores]
        linear = [part.grad for part in (compress.weight, expand.weight, core.linear_weight, core.quantum_weight)]
        wanted = {"circuit": [core.angles.grad], "tensor_network": networks, "linear": linear}
        for part, gradients in wanted.items():
            norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
            assert layer.gradient_norms[part] == pytest.approx(float(norm), rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training):
    model = adapted("qtha", dropout=0.2).train(training)
    model.add_adapter("other", QwthnConfig.preset("mpo", **SMALL))
    model.base_model.model.lm_head.eval()
    some = next(model.parameters())
    some.grad = torch.ones_like(some)

    def state():
        modules = list(model.modules())
        return (
            [module.training for module in modules],
            [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules],
            {name: (p.requires_grad, p.grad is None, p._version) for name, p in model.named_parameters()},
            (list(model.active_adapters), model.active_adapter),
            torch.get_rng_state().tolist(),
        )

    before = state()
    inspect_adapter(model, batches(), "default")
    assert state() == before
    with pytest.raises(QweftError, match="not the active one"):
        inspect_adapter(model, batches(), "other")


def test_what_is_padded_changes_nothing():
    found = []
    for filling in (0, 7):
        rows = batches()
        for batch in rows:
            batch["input_ids"][batch["attention_mask"] == 0] = filling
        found.append(inspect_adapter(adapted("qwthn"), rows).to_json())
    assert found[0] == found[1]


def test_an_untrained_adapter_changes_nothing():
    found = inspect_adapter(adapted("qtha", init_weights=True), batches())
    assert found.layers[0].numbers["relative_size"] == 0
    assert "Size of the update 0% As a share" in text_of(found)
    assert json.dumps(found.to_json(), allow_nan=False)


def test_layers_that_are_no_plain_lora_are_named():
    model = with_lora(target_modules=["q_proj", "embed_tokens"])
    found = inspect_adapter(model, batches())
    assert [layer.module for layer in found.layers] == ["q_proj", "q_proj"]
    assert found.to_json()["left_out"] == ["model.embed_tokens"]
    assert "not measured, no plain LoRA on a linear layer: model.embed_tokens" in text_of(found)


def test_what_cannot_be_inspected_is_said():
    vera = get_peft_model(tiny_llama(), VeraConfig(target_modules=["q_proj"]))
    for model, words in (
        (tiny_llama(), "no adapter"),
        (vera, "no layer of adapter 'default' is measured"),
        (with_lora(use_dora=True), "no layer of adapter 'default' is measured"),
    ):
        with pytest.raises(QweftError, match=words):
            inspect_adapter(model, batches())
    for model in (adapted("mpo"), get_peft_model(tiny_llama(), LoraConfig(**LORA))):
        model.merge_adapter()
        with pytest.raises(QweftError, match="unmerge_adapter"):
            inspect_adapter(model, batches())
    with pytest.raises(QweftError, match="no token reached"):
        inspect_adapter(adapted("qtha"), [])
