"""Every method of PEFT in a comparison: through the loop, back from disk and off again; or refused, and why."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from transformers import set_seed

import qweft  # noqa: F401
from qweft.adapter.attach import detach
from qweft.cli.main import COMMANDS
from qweft.cli.parser import parse
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.methods import count, matched, put_on, resolve_methods, trained
from qweft.core.errors import QweftError
from qweft.evaluation.loss import held_out_loss
from qweft.models.checksum import checksum
from qweft.training.config import TrainingConfig
from qweft.training.loop import fit
from qweft.training.run import save_adapter
from tests.tiny_models import tiny_gpt2, tiny_llama

TARGETS = {"target_modules": ["q_proj", "v_proj"]}
STEPS = 3

FIELDS = {
    "BOFT": {"boft_block_size": 2, **TARGETS},
    "C3A": {"block_size": 2, **TARGETS},
    "FOURIERFT": {"n_frequency": 10, **TARGETS},
    "IA3": {"target_modules": ["k_proj", "v_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
    "LN_TUNING": {"target_modules": ["input_layernorm"]},
    "LORA": {"r": 4, **TARGETS},
    "MISS": {"r": 2, **TARGETS},
    "OFT": {"oft_block_size": 2, **TARGETS},
    "OSF": {"effective_rank": 2, **TARGETS},
    "QWTHN": {"r": 2, "width": 8, "bond_dimension": 2, **TARGETS},
    "PSOFT": {"r": 2, **TARGETS},
    "SHIRA": {"r": 1, **TARGETS},
    "ROAD": {"group_size": 2, **TARGETS},
    "TRAINABLE_TOKENS": {"token_indices": [1, 2]},
    "UNILORA": {"r": 2, "theta_d_length": 16, **TARGETS},
    "VBLORA": {"r": 2, "num_vectors": 8, "vector_length": 2, **TARGETS},
    "WAVEFT": {"n_frequency": 10, **TARGETS},
}
"""What a method needs on the tiny model; the others have their defaults on `TARGETS`."""

VARIANTS = {
    "DoRA": {"use_dora": True},
    "rank_pattern": {"rank_pattern": {"v_proj": 1}},
}

TOKENS = {"num_virtual_tokens": 4}
CPT = {"cpt_token_ids": [1], "cpt_mask": [1], "cpt_tokens_type_mask": [1]}
REFUSED = {
    "ADAPTION_PROMPT": {"adapter_len": 4, "adapter_layers": 2},
    "CPT": CPT,
    "P_TUNING": {**TOKENS, "encoder_hidden_size": 8},
    **dict.fromkeys(("FROD", "POLY", "LILY"), TARGETS),
    **dict.fromkeys(("CARTRIDGE", "MULTITASK_PROMPT_TUNING", "PREFIX_TUNING", "PROMPT_TUNING"), TOKENS),
    "SHADOW": {},
    "XLORA": {},
}
REFUSED_STARTS = {
    **dict.fromkeys(("pissa", "olora"), "rewrites base weights"),
    **dict.fromkeys(("corda", "eva", "lora_ga"), "training rows first"),
    "pissa_niter_4": "draws base weights at random",
}
REFUSED_FIELDS = {
    "loftq": {"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4}},
    "trains modules of the base model": {"modules_to_save": ["lm_head"]},
    "on shapes alone": {"monteclora_config": {"num_samples": 3}},
    "does not come off": {"layer_replication": [[0, 2], [1, 2]]},
    "leave it out": {"peft_type": "ADALORA", "r": 8, "total_step": 100},
}
WRONG = [
    *(({"peft_type": name, **fields}, f"{name} cannot be compared") for name, fields in REFUSED.items()),
    *(({"init_lora_weights": start}, reason) for start, reason in REFUSED_STARTS.items()),
    *((fields, reason) for reason, fields in REFUSED_FIELDS.items()),
]

KNOWN = sorted(str(name.value) for name in PEFT_TYPE_TO_CONFIG_MAPPING)
COMPARED = {name: {"peft_type": name, **FIELDS.get(name, TARGETS)} for name in KNOWN if name not in REFUSED}
COMPARED |= {name: {"peft_type": "LORA", **FIELDS["LORA"], **change} for name, change in VARIANTS.items()}


def meta_llama():
    with torch.device("meta"):
        return tiny_llama()


def rows(count=8, length=10):
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(1, 64, (count, length), generator=generator).tolist()
    return [{"input_ids": ids, "labels": [-100] * 3 + ids[3:]} for ids in drawn]


@pytest.mark.parametrize("name", COMPARED)
def test_a_method_goes_through_the_loop_and_leaves_the_base_as_it_was(name, tmp_path):
    if name == "ADAMSS" and find_spec("sklearn") is None:
        pytest.skip("ADAMSS needs scikit-learn")
    specification, text = COMPARED[name], rows()
    model = tiny_llama()
    before, names, ids = checksum(model), list(model.state_dict()), torch.tensor([text[0]["input_ids"]])
    plain = model(ids).logits
    base_loss = held_out_loss(model, text, 0, 4).loss
    set_seed(0)
    budget = TrainingConfig(max_steps=STEPS, batch_size=4, gradient_accumulation=1, learning_rate=1e-2)
    adapted = put_on(model, specification, STEPS)
    assert sum(p.numel() for p in trained(adapted).values()) == count(meta_llama(), specification)
    starts = {name: p.detach().clone() for name, p in trained(adapted).items()}
    assert fit(adapted, text, 0, budget).steps == STEPS
    assert any(not torch.equal(p, starts[name]) for name, p in adapted.named_parameters() if name in starts)
    loss = held_out_loss(adapted, text, 0, 4).loss
    assert loss != base_loss
    save_adapter(adapted, tmp_path / "adapter")
    base = detach(adapted)
    assert base is model and checksum(base) == before and list(base.state_dict()) == names
    assert torch.equal(base(ids).logits, plain)
    set_seed(77)
    loaded = PeftModel.from_pretrained(tiny_llama(), tmp_path / "adapter")
    assert held_out_loss(loaded, text, 0, 4).loss == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize(("fields", "reason"), WRONG, ids=lambda value: str(value)[:40])
def test_a_method_is_refused_before_training_and_says_why(fields, reason):
    specification = fields if fields.get("peft_type") in REFUSED else {"peft_type": "LORA", **FIELDS["LORA"], **fields}
    with pytest.raises(QweftError, match=reason):
        count(meta_llama(), specification)


def test_biases_of_the_base_model_are_not_trained():
    with torch.device("meta"):
        model = tiny_gpt2()
    specification = {"peft_type": "LORA", "r": 2, "target_modules": ["c_attn"], "fan_in_fan_out": True, "bias": "all"}
    with pytest.raises(QweftError, match=r"trains transformer\.h\.0\.ln_1\.bias of the base model itself"):
        count(model, specification)


def test_adalora_gives_up_ranks_on_its_schedule():
    """With 12 ranks a layer at first and 2 wanted, the first update that may cut leaves 2 a layer on average."""
    specification = {"peft_type": "ADALORA", "init_r": 12, "target_r": 2, "tinit": 1, "tfinal": 1, **TARGETS}
    adapted = put_on(tiny_llama(), specification, 6)
    fit(adapted, rows(), 0, TrainingConfig(max_steps=6, batch_size=4, gradient_accumulation=1, learning_rate=1e-2))
    kept = [int((p != 0).sum()) for name, p in adapted.named_parameters() if ".lora_E." in name]
    assert len(kept) == 4 and sum(kept) == 2 * 4


@pytest.mark.parametrize(
    ("specification", "wanted"),
    [
        ({"peft_type": "LORA", **TARGETS}, 560),
        ({"peft_type": "VERA", **TARGETS}, 5),  # d_out alone is more
        ({"preset": "qtha", "width": 8, "bond_dimension": 2, "qubits": 3, **TARGETS}, 700),
    ],
)
def test_the_matched_size_is_the_nearest_of_all(specification, wanted):
    found = matched(meta_llama(), specification, wanted)
    ranks = range(specification.get("qubits", 1), 20)
    sizes = {rank: count(meta_llama(), {**specification, "r": rank}) for rank in ranks}
    assert found["r"] == min(sizes, key=lambda rank: (abs(sizes[rank] - wanted), rank))


def test_the_controls_differ_from_their_hybrid_in_the_core_alone():
    path = Path(__file__).parents[2] / "configs" / "controls.yaml"
    config = parse(ComparisonConfig, [str(path)], COMMANDS["compare"])
    sizes = {method.name: method.trainable_parameters for method in resolve_methods(config, meta_llama())}
    assert sizes["mpo"] < sizes["frozen_linear"] < sizes["bias_linear"] < sizes["product_linear"] < sizes["qtha"]
    for hybrid, form in (("qtha", "linear"), ("qwthn", "weighted")):
        for function in ("mlp", "fourier"):
            twin = config.methods[f"{function}_{form}"].adapter
            assert twin == {**config.methods[hybrid].adapter, "core": f"{function}_{form}"}
