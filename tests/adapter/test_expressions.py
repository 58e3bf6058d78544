"""Regular expressions of a config are matched in bounded time, and mean what they mean in PEFT."""

import json
import time

import pytest
from peft import LoraConfig, PeftModel, get_peft_model

from qweft import QwthnConfig
from qweft.adapter.attach import attach
from qweft.adapter.hotswap import hotswap_adapter
from qweft.adapter.layer import QwthnLinear
from qweft.circuit_view.saved import SavedAdapter
from qweft.errors import QweftError
from qweft.evaluation import saved
from qweft.method import checks
from qweft.method.checks import check_quick
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
    assert str(caught.value).startswith(next(iter(fields))) and time.monotonic() - begun < 5


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


def test_a_long_expression_is_refused():
    with pytest.raises(QweftError, match="has 12,001 characters"):
        check_quick(LoraConfig(target_modules="a" * 12_001), ["a"])
