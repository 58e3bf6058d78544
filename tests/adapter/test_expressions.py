"""Regular expressions of a config are matched in bounded time, and mean what they mean in PEFT."""

import json
import time
from types import SimpleNamespace

import pytest
import torch
from peft import (
    C3AConfig,
    DeloraConfig,
    FourierFTConfig,
    HRAConfig,
    IA3Config,
    LoraConfig,
    MontecloraConfig,
    OFTConfig,
    OSFConfig,
    PeanutConfig,
    PeftModel,
    PolyConfig,
    PsoftConfig,
    WaveFTConfig,
    get_peft_model,
)

from qweft import QwthnConfig
from qweft.adapter.attach import attach
from qweft.adapter.hotswap import hotswap_adapter
from qweft.adapter.layer import QwthnLinear
from qweft.circuit_view.saved import SavedAdapter
from qweft.errors import QweftError
from qweft.evaluation import saved
from qweft.method import checks
from qweft.method.checks import check_quick
from tests.adapter.test_method import logits, small
from tests.tiny_models import tiny_llama

SLOW = r"([a-z0-9_.]+)+!"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(checks, "PATIENCE", 1.0)


FIELDS = [
    {"target_modules": SLOW},
    {"exclude_modules": SLOW, "target_modules": ["q_proj"]},
    {"layers_pattern": [SLOW], "layers_to_transform": [0], "target_modules": ["q_proj"]},
    {"rank_pattern": {"v_proj": 2, SLOW: 2}, "target_modules": ["q_proj"]},
    {"alpha_pattern": {SLOW: 2.0}, "target_modules": ["q_proj"]},
]


@pytest.mark.parametrize("fields", FIELDS, ids=lambda fields: next(iter(fields)))
@pytest.mark.parametrize("kind", [LoraConfig, QwthnConfig])
def test_a_slow_expression_is_refused(kind, fields, impatient):
    begun = time.monotonic()
    with pytest.raises(QweftError, match=r"takes longer than 1 s; list the names instead") as caught:
        attach(tiny_llama(), kind(r=2, **fields))
    assert str(caught.value).startswith(next(iter(fields))) and time.monotonic() - begun < 20


def test_the_start_of_the_process_that_matches_does_not_count(monkeypatch, impatient):
    """Python starts slowly on a busy machine, which says nothing of an expression."""
    monkeypatch.setattr(checks, "MATCH_ALL", f"import time\ntime.sleep(1.5)\n{checks.MATCH_ALL}")
    check_quick(LoraConfig(target_modules=r".*(q_proj|v_proj).*"), ["layers.0.q_proj"])
    monkeypatch.setattr(checks, "MOST_WAITING", 1)
    with pytest.raises(QweftError, match=r"takes longer than 1 s"):
        check_quick(LoraConfig(target_modules=r".*(q_proj|v_proj).*"), ["layers.0.q_proj"])


@pytest.mark.parametrize("expression", ["(?x:(.|.|.|.) *)!", "(?x)(.|.|.|.) *!", "(.|.|.|.)(?#x)*!", SLOW])
def test_no_slow_expression_counts_as_simple(expression):
    """In verbose mode a space may stand between a group and its repeat."""
    assert not checks._is_simple(expression)
    assert checks._is_simple(r".*\.(?:q|v)_proj")


@pytest.mark.parametrize("modes", [{"64": [10**39] * 20_000}, {"64": [2] * 65}, {"9" * 5000: [2]}, {"64": [2**17]}])
def test_modes_whose_product_takes_long_are_refused_before_it_is_formed(modes):
    begun = time.monotonic()
    with pytest.raises(QweftError, match="modes are at most 64 factors of at most 65,536, got"):
        QwthnConfig(modes=modes)
    assert time.monotonic() - begun < 2


def _saved(folder, **changes):
    get_peft_model(tiny_llama(), QwthnConfig.preset("qtha", r=2, target_modules=["q_proj"])).save_pretrained(folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def test_a_loaded_adapter_is_refused_by_plain_peft(tmp_path, impatient):
    base = tiny_llama()
    with pytest.raises(QweftError, match="target_modules"):
        PeftModel.from_pretrained(base, str(_saved(tmp_path / "a", target_modules=SLOW)))
    assert not any(isinstance(layer, QwthnLinear) for layer in base.modules())
    with pytest.raises(QweftError, match="rank_pattern"):
        tiny_llama().load_adapter(str(_saved(tmp_path / "b", rank_pattern={SLOW: 2})))


def test_commands_refuse_it_before_they_match(tmp_path, impatient):
    folder = _saved(tmp_path / "a", rank_pattern={SLOW: 2}, alpha_pattern={SLOW: 2})
    with pytest.raises(QweftError, match="rank_pattern"):
        SavedAdapter.open(folder)
    model = PeftModel.from_pretrained(tiny_llama(), str(_saved(tmp_path / "b")))
    with pytest.raises(QweftError, match="_pattern"):
        hotswap_adapter(model, folder, "default")
    get_peft_model(tiny_llama(), LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "lora")
    path = tmp_path / "lora" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"exclude_modules": SLOW}))
    loaded = type("Loaded", (), {"model": tiny_llama()})
    with pytest.raises(QweftError, match="exclude_modules"):
        saved.put_on(loaded, tmp_path / "lora")


@pytest.mark.parametrize(
    "expression",
    [r".*\.(q_proj|v_proj)", r".*layers\.\d+\.(?:self_attn|mlp)\.(?:q|v|up)_proj", r"(.*\.)*q_proj", "q"],
)
def test_other_expressions_match_what_peft_matches(expression):
    found = {}
    for kind in (LoraConfig, QwthnConfig):
        try:
            model = get_peft_model(tiny_llama(), kind(r=2, target_modules=expression))
            found[kind] = sorted(model.base_model.targeted_module_names)
        except ValueError as error:
            found[kind] = str(error)
    assert found[LoraConfig] == found[QwthnConfig]


def test_names_need_no_process(monkeypatch):
    monkeypatch.setattr(checks.subprocess, "run", lambda *given, **options: pytest.fail("a process was started"))
    names = ["model.layers.0.self_attn.q_proj"]
    check_quick(QwthnConfig(target_modules=["a+b", "(((a*)*)*)*"], rank_pattern={"layers.0.q_proj": 2}), names)
    check_quick(QwthnConfig(target_modules=r".*\.(q_proj|v_proj)", exclude_modules="lm_head"), names)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (IA3Config, {"feedforward_modules": SLOW}),
        (FourierFTConfig, {"n_frequency_pattern": {SLOW: 5}}),
        (C3AConfig, {"block_size_pattern": {SLOW: 5}}),
        (WaveFTConfig, {"n_frequency_pattern": {SLOW: 5}}),
        (DeloraConfig, {"lambda_pattern": {SLOW: 5.0}}),
        (OSFConfig, {"rank_pattern": {f"(?<=ayer)s{SLOW}": 2}}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_slow_expression_of_another_method_is_refused(kind, fields, impatient):
    config = kind(target_modules=["v_proj"])
    vars(config).update(fields)
    with pytest.raises(QweftError, match=r"takes longer than 1 s; list the names instead"):
        check_quick(config, [name for name, _ in tiny_llama().named_modules()])


ROUNDS = [
    LoraConfig(init_lora_weights="pissa_niter_100000000"),
    LoraConfig(init_lora_weights="pissa_niter_1_000_000_000"),
    OFTConfig(use_cayley_neumann=True, num_cayley_neumann_terms=10**9),
    PsoftConfig(psoft_svd="lowrank", psoft_svd_lowrank_niter=10**9),
    PolyConfig(n_skills=10**9),
    PolyConfig(n_splits=10**9),
    PeanutConfig(depth=10**9),
    HRAConfig(r=10**9),
    HRAConfig(r=10**5, apply_GS=True),
    LoraConfig(monteclora_config=MontecloraConfig(buffer_size=10**9)),
]


@pytest.mark.parametrize("config", ROUNDS, ids=lambda config: config.peft_type.value)
def test_a_loop_inside_peft_that_takes_hours_is_refused(config):
    with pytest.raises(QweftError, match=r"makes PEFT loop 10+ times, and at most 1,000 are allowed"):
        check_quick(config, ["q_proj"])
    usual = [LoraConfig(init_lora_weights="pissa_niter_16"), OFTConfig(), LoraConfig(init_lora_weights=True)]
    usual += [HRAConfig(r=256), HRAConfig(r=64, apply_GS=True), LoraConfig(monteclora_config=MontecloraConfig())]
    for each in usual:
        check_quick(each, ["q_proj"])


def test_a_loop_of_loftq_that_takes_hours_is_refused():
    with pytest.raises(QweftError, match="loftq_iter makes PEFT loop 1000000000 times"):
        check_quick(SimpleNamespace(loftq_config={"loftq_iter": 10**9}), ["q_proj"])
    check_quick(SimpleNamespace(loftq_config={"loftq_iter": 5}), ["q_proj"])


@pytest.mark.parametrize("field", ["rank_pattern", "alpha_pattern", "modes", "target_modules", "modules_to_save"])
def test_too_many_names_are_refused(field):
    value = {f"q{i}": 2 for i in range(10_001)}
    with pytest.raises(QweftError, match=rf"{field} has 10,001 entries, and at most 10,000 are compared"):
        QwthnConfig(**{field: value if field in ("rank_pattern", "alpha_pattern", "modes") else list(value)})
    if field != "modes":
        with pytest.raises(QweftError, match=rf"{field} has 10,001 entries"):
            check_quick(LoraConfig(**{field: value}), ["q1"])


def test_layers_that_a_lora_replicates_without_end_are_refused():
    check_quick(LoraConfig(layer_replication=[[0, 24], [8, 32]]), ["q_proj"])
    for ranges in ([[0, 2]] * 10_000, [[0, 10**9]], [[0, 0]] * 10_000):
        with pytest.raises(QweftError, match=r"layer_replication makes .* layers, and at most 1,024 are made"):
            check_quick(LoraConfig(layer_replication=ranges), ["q_proj"])
    check_quick(LoraConfig(layer_replication=[5]), ["q_proj"])  # PEFT says what is wrong


@pytest.mark.parametrize("field", ["rank_pattern", "alpha_pattern", "layers_pattern", "modules_to_save"])
def test_values_that_hold_no_names_are_left_to_peft(field):
    config = LoraConfig(layers_to_transform=[0])
    setattr(config, field, 5)
    check_quick(config, ["q_proj"])


def test_a_long_expression_is_refused():
    with pytest.raises(QweftError, match="has 12,001 characters"):
        check_quick(LoraConfig(target_modules="a" * 12_001), ["a"])
    with pytest.raises(QweftError, match="has 12,001 characters"):
        QwthnConfig(target_modules="a" * 12_001)


@pytest.mark.parametrize("field", ["alpha_pattern", "rank_pattern"])
def test_patterns_whose_order_a_file_would_lose_are_refused(tmp_path, field):
    """PEFT takes the first that matches, and writes them in alphabetical order."""
    overlapping = {"v_proj": 4, "layers.0.self_attn.v_proj": 3}
    config = small("qtha", **{field: overlapping})
    with pytest.raises(QweftError, match=rf"{field}: .*v_proj matches 'v_proj' and 'layers.0.* So 4 would become 3"):
        get_peft_model(tiny_llama(), config)
    with pytest.raises(QweftError, match="let each layer match one"):
        attach(tiny_llama(), LoraConfig(r=2, target_modules=["v_proj"], **{field: overlapping}))
    frequencies = FourierFTConfig(target_modules=["v_proj"], n_frequency=5, n_frequency_pattern=overlapping)
    with pytest.raises(QweftError, match="n_frequency_pattern: "):
        attach(tiny_llama(), frequencies)
    sorted_ones = small("qtha", init_weights=False, **{field: dict(sorted(overlapping.items()))})
    model = get_peft_model(tiny_llama(), sorted_ones).eval()
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(PeftModel.from_pretrained(tiny_llama(), tmp_path).eval()), logits(model))
