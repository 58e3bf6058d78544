"""Runs begun when presets left their sizes to the config's defaults: r 8, width 256, bond dimension 8."""

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest

from qweft import QwthnConfig
from qweft.adapter.attach import adapter_config
from qweft.adapter.fixed_maps import COMPRESS, EXPAND
from qweft.comparison import runner, step_times, trial
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.comparison.method_kinds import differences
from qweft.comparison.results import Run
from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig
from qweft.method.presets import PRESETS
from qweft.method.stated import SIZES, as_recorded, meant_then, recorded_forms, stated
from qweft.models.config import ModelConfig
from qweft.sweep.config import SpaceConfig, SweepConfig
from qweft.sweep.run import sweep
from qweft.training.config import CheckpointConfig, RunConfig, TrainingConfig
from tests.tiny_folder import save_rows, save_tiny_model

PLAIN = {"preset": "qtha", "target_modules": ["q_proj"], "circuit_layers": 1}
THEN = {**PLAIN, "r": 8, "width": 256, "bond_dimension": 8}
LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}
MEANT = "preset qtha meant r 8, width 256, bond_dimension 8 when it was begun"


@contextmanager
def earlier_version():
    """Presets without sizes, as the first version had them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, preset in PRESETS.items():
            fields = {key: value for key, value in preset.fields.items() if key not in preset.before}
            patch.setitem(PRESETS, name, preset._replace(fields=fields, before={}))
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return save_tiny_model(folder / "model"), save_rows(folder / "rows.jsonl")


def sections(files):
    return {
        "model": ModelConfig(name=files[0], device="cpu"),
        "data": DataConfig(source=files[1], train_rows=8, validation_rows=4, test_rows=4, max_length=48),
        "training": TrainingConfig(max_steps=2, batch_size=2, gradient_accumulation=1, learning_rate=1e-3),
        "evaluation": EvaluationConfig(answers=0),
    }


def run_config(files, output, adapter):
    return RunConfig(**sections(files), adapter=adapter, checkpoints=CheckpointConfig(1), output=str(output))


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
        LORA,
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


def test_all_forms_of_a_record_are_known():
    left_out = {frozenset(THEN) - frozenset(form) for form in recorded_forms(THEN)}
    sizes = ("r", "width", "bond_dimension")
    assert left_out == {frozenset(part) for part in [(), *((s,) for s in sizes), sizes, *(
        (one, other) for one in sizes for other in sizes if one < other)]}  # fmt: skip


def test_a_comparison_goes_on_with_its_own_sizes_alone(files, tmp_path, monkeypatch):
    methods = {"lora": MethodConfig(LORA), "qtha": MethodConfig(PLAIN), "long": MethodConfig(LORA, match_time="qtha")}
    config = ComparisonConfig(**sections(files), seeds=[0], output=str(tmp_path), methods=methods)

    def runs(adapter):
        changed = replace(config, methods={**config.methods, "qtha": MethodConfig(adapter)})
        path = runner.compare(changed, "methods: {}\n", "qweft compare")
        return json.loads((path.parent / "results.json").read_text())["runs"]

    with earlier_version():
        before = runs(PLAIN)
    monkeypatch.setattr(step_times, "_measure", lambda *_: pytest.fail("times were measured again"))
    monkeypatch.setattr(trial, "fit", lambda *_: pytest.fail("a finished run was repeated"))
    again = runs(THEN)
    assert [each["eval_loss"] for each in again] == [each["eval_loss"] for each in before]
    assert before[2]["adapter"] == PLAIN and again[2]["adapter"] == THEN
    monkeypatch.undo()
    with pytest.raises(QweftError, match=f"qtha-0 holds a run of another configuration: {MEANT}; state these sizes; "):
        runs(PLAIN)


def test_a_report_says_what_an_earlier_run_had(files):
    record = {"model": "m", "data": "d", "method": "qtha", "seed": 0, "trainable_parameters": 1, "steps": 1,
              "train_loss": 1.0, "train_loss_curve": [], "eval_loss": 1.0, "eval_perplexity": 2.0,
              "step_seconds_median": 1.0, "peak_memory_bytes": 1, "adapter": PLAIN}  # fmt: skip
    run = Run.from_json(record)
    assert run.adapter == THEN and differences(run.adapter, {**THEN, "core": "mlp_linear"}) == []
    assert "r (8, not 4)" in differences(run.adapter, stated(PLAIN))


def test_a_sweep_that_varies_all_sizes_goes_on_as_it_is(files, tmp_path, monkeypatch):
    space = SpaceConfig({"r": {"values": [2]}, "width": {"values": [8]}, "bond_dimension": {"values": [2]}})
    config = SweepConfig(**sections(files), adapter=PLAIN, space=space, trials=1, output=str(tmp_path))
    with earlier_version():
        sweep(config, "space: {}\n", "qweft sweep")
    monkeypatch.setattr(trial, "fit", lambda *_: pytest.fail("a finished trial was repeated"))
    sweep(config, "space: {}\n", "qweft sweep")
