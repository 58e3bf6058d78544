"""Counts from shapes alone, against the paper's configuration and against hand counts."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from qweft.cli.main import main
from qweft.models.config import ModelConfig
from qweft.training.config import RunConfig
from qweft.training.plan import plan

SHAPES = Path(__file__).parents[2] / "configs" / "models" / "deepseek-r1-distill-qwen-7b"
TARGETS = ["q_proj", "v_proj"]
RECORDED = {"width": 256, "bond_dimension": 8, "target_modules": TARGETS}


@pytest.fixture
def small_qwen(tmp_path):
    """The shapes of Qwen2.5-0.5B."""
    shape = json.loads((SHAPES / "config.json").read_text())
    shape |= {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14}
    shape |= {"num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(shape))
    return ModelConfig(name=str(tmp_path))


def test_the_papers_count():
    found = plan(RunConfig(model=ModelConfig(name=str(SHAPES)), adapter={"preset": "qtha", "r": 10, **RECORDED}))
    assert found.trainable_parameters == sum(found.parts.values()) == 772_800
    assert found.lora_parameters == 3_153_920
    assert found.to_json()["difference_to_lora"] == "-75.5%"
    assert not found.warnings


def test_a_small_model_is_told_that_the_recorded_sizes_cost_more(small_qwen):
    found = plan(RunConfig(model=small_qwen, adapter={"preset": "qtha", "r": 4, **RECORDED}))
    assert found.to_json()["difference_to_lora"] == "+43.2%"
    assert any("cost 43% more than LoRA" in warning for warning in found.warnings)


@pytest.mark.parametrize(("bits", "share"), [(16, 1), (4, 0.5)])
def test_directions_are_counted_apart(small_qwen, bits, share):
    """In numbers of two bytes, or packed, in bytes."""
    adapter = {"preset": "subspace", "width": 200, "basis_bits": bits, "target_modules": TARGETS}
    found = plan(RunConfig(model=small_qwen, adapter=adapter))
    assert found.trainable_parameters == found.parts["linear"] == 24 * 2 * 4 * (200 + 128)
    assert found.fixed_numbers == share * 24 * (200 * (896 + 896) + 128 * (896 + 128))
    width = 2 if bits == 16 else 1
    assert found.memory_bytes.adapter_and_optimizer == 16 * found.trainable_parameters + width * found.fixed_numbers
    told = io.StringIO()
    Console(file=told, width=100).print(found.describe())
    assert f"{found.fixed_numbers:,}" in told.getvalue()


def test_a_few_steps_are_timed(tmp_path, capsys):
    import json

    from tests.tiny_folder import save_rows, save_tiny_model

    options = [
        "--model.name", save_tiny_model(tmp_path / "model"), "--data.source", save_rows(tmp_path / "rows.jsonl"),
        "--data.validation_rows", "6", "--data.test_rows", "4", "--data.max_length", "48", "--adapter.r", "2",
        "--adapter.width", "8", "--adapter.bond_dimension", "2", "--training.max_steps", "100",
    ]  # fmt: skip
    capsys.readouterr()
    assert main(["plan", *options, "--timed", "--json"]) == 0
    timing = json.loads(capsys.readouterr().out)["timing"]
    assert timing["steps"] == 4 and timing["step_seconds"] > 0
    assert timing["whole_seconds"] == pytest.approx(100 * timing["step_seconds"])
    assert main(["plan", *options, "--timed"]) == 0
    assert "time of all steps" in capsys.readouterr().out
    assert main(["plan", *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["timing"] is None
    basis = ["--adapter", '{"preset": "mpo", "compress": "basis", "expand": "basis", "r": 2}']
    assert main(["plan", *options[:-8], "--training.max_steps", "9", *basis, "--timed", "--json"]) == 0
    timing = json.loads(capsys.readouterr().out)["timing"]
    assert timing["basis_seconds"] > 0
    assert timing["whole_seconds"] == pytest.approx(timing["basis_seconds"] + 9 * timing["step_seconds"])
