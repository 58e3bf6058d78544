"""Runs begun when presets left their sizes to the config's defaults: r 8, width 256, bond dimension 8."""

from contextlib import contextmanager

import pytest

from qweft import QwthnConfig
from qweft.adapter.attach import adapter_config
from qweft.adapter.fixed_maps import COMPRESS, EXPAND
from qweft.method.presets import PRESETS
from qweft.method.stated import SIZES, as_recorded, meant_then, recorded_forms, stated

PLAIN = {"preset": "qtha", "target_modules": ["q_proj"], "circuit_layers": 1}
THEN = {**PLAIN, "r": 8, "width": 256, "bond_dimension": 8}


@contextmanager
def earlier_version():
    """Presets without sizes, as the first version had them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, preset in PRESETS.items():
            fields = {key: value for key, value in preset.fields.items() if key not in preset.before}
            patch.setitem(PRESETS, name, preset._replace(fields=fields, before={}))
        yield


@pytest.mark.parametrize("name", ["qtha", "qwthn", "mpo", "quantum_lora"])
def test_a_preset_has_the_sizes_of_the_evidence_and_the_config_those_on_record(name):
    config = QwthnConfig.preset(name)
    sizes = {"qtha": (4, 16, 4), "qwthn": (4, 16, 4), "mpo": (4, 16, 4), "quantum_lora": (4, 256, 8)}
    assert (config.r, config.width, config.bond_dimension) == sizes[name]
    assert (QwthnConfig().r, QwthnConfig().width, QwthnConfig().bond_dimension) == (8, 256, 8)


@pytest.mark.parametrize("name", ["qtha", "qwthn", "mpo", "quantum_lora"])
def test_what_a_record_states_is_what_was_trained(name):
    assert adapter_config(stated({"preset": name})).to_dict() == QwthnConfig.preset(name).to_dict() | {
        "task_type": "CAUSAL_LM"
    }
    with earlier_version():
        trained = adapter_config({"preset": name}).to_dict()
    assert adapter_config(as_recorded({"preset": name})).to_dict() == trained


@pytest.mark.parametrize(
    "unchanged",
    [
        THEN,
        {"peft_type": "LORA", "r": 2},
        {"preset": "sparse", "width": 32, "basis_bits": 16},
        {"preset": "mpo", "compress": "dense", "expand": "dense", "r": 3},
        {"preset": "qtha", "compress": "subspace", "expand": "dense", "r": 3, "width": 9},
        {"preset": ["of another version"], "compress": {}},
    ],
)
def test_a_record_that_leaves_nothing_out_stays_as_it_is(unchanged):
    assert stated(unchanged) == as_recorded(unchanged) == unchanged
    assert next(recorded_forms(unchanged)) == unchanged and not meant_then(unchanged)


@pytest.mark.parametrize("table", [COMPRESS, EXPAND])
def test_the_sizes_of_a_map_are_those_of_its_class(table):
    for name in ("mpo", "dense", "basis", "subspace", *(["sparse"] if table is EXPAND else [])):
        assert SIZES.get(name, ()) == tuple(size for size in table[name].sizes if size != "share")
