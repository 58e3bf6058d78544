"""Every example config says what runs it, holds what that command takes, and can be made on its model's shapes."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from qweft.adapter.attach import adapter_config, attach, check_targets
from qweft.cli.parser import parse
from qweft.comparison.checks import check_comparison
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.methods import resolve_methods
from qweft.comparison.search.configurations import check_sizes
from qweft.comparison.search.space import TuneConfig
from qweft.data.checks import check_data_config
from qweft.evaluation.checks import check_evaluation
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.training.checks import check_run
from qweft.training.config import RunConfig

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path for folder in ("configs", "research/configs") for path in (ROOT / folder).rglob("*.yaml"))
PROTOCOLS = ROOT / "configs" / "protocols"
CLASSES = {
    "tune": TuneConfig,
    "compare": ComparisonConfig,
    "train": RunConfig,
    "plan": RunConfig,
}
SHAPES = {
    "meta-llama/Llama-3.2-3B": "llama-3.2-3b",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": "deepseek-r1-distill-qwen-7b",
    "Qwen/Qwen3-0.6B": "qwen3-0.6b",
}


def read(path):
    """The config, as the command that its first lines name would read it."""
    name = path.relative_to(ROOT).as_posix()
    command = re.search(rf"qweft (\w+) {re.escape(name)}", path.read_text(encoding="utf-8"))
    assert command, f"{name} does not open with its command"
    return parse(CLASSES[command[1]], [str(path)])


def shapes_of(model, blocks=2):
    if model.name in SHAPES:
        return load_model(ModelConfig(str(ROOT / "configs" / "models" / SHAPES[model.name]), device="meta")).model
    with torch.device("meta"):  # blocks of SmolLM2-135M
        sizes = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3}
        return LlamaForCausalLM(LlamaConfig(vocab_size=64, num_hidden_layers=blocks, **sizes))


@cache
def methods_of(path):
    """A comparison's methods, on its model's shapes where they are known."""
    config = read(path)
    check_comparison(config)
    blocks = 30 if "layers_to_transform" in path.read_text(encoding="utf-8") else 2
    return {method.name: method for method in resolve_methods(config, shapes_of(config.model, blocks))}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_is_one_that_its_command_takes(path):
    config = read(path)
    check_data_config(config.data)
    if isinstance(config, TuneConfig) and config.space:
        check_sizes(config)
    elif isinstance(config, ComparisonConfig):
        assert config.reference in methods_of(path)
    else:
        check_run(config)
        check_evaluation(config.evaluation, config.data)
        model = shapes_of(config.model)
        check_targets(model, adapter_config(config.adapter))
        attach(model, adapter_config(config.adapter))


def protocol(name):
    return read(PROTOCOLS / f"{name}.yaml")


def sizes(name):
    return {method.name: method.trainable_parameters for method in methods_of(PROTOCOLS / f"{name}.yaml").values()}


def test_peft_s_comparison_has_its_numbers():
    config, found = protocol("peft-metamathqa"), sizes("peft-metamathqa")
    assert found["lora"] == 9_175_040  # num_trainable_params of PEFT's own record, lora--llama-3.2-3B-rank32
    assert found["qtha"] < found["lora_small"] < found["lora"] / 10
    training = config.training
    assert training.max_steps * training.batch_size * training.gradient_accumulation == config.data.train_rows
    assert config.data.template == "Question: {query} Think step by step.\nAnswer:" and config.data.learn == "all"
    assert (config.data.max_length, config.data.max_characters, config.evaluation.max_new_tokens) == (768, 1300, 300)


@pytest.mark.parametrize("name", ["paper-cpsycound", "paper-r1-distill"])
def test_the_paper_s_protocols_have_the_saving_that_it_names(name):
    config, found = protocol(name), sizes(name)
    assert (found["qtha"], found["lora"]) == (772_800, 3_153_920)  # docs/method.md
    assert all(75 < 100 * (1 - found[hybrid] / found["lora"]) < 77 for hybrid in ("qtha", "qwthn"))
    training = config.training
    assert (training.learning_rate, training.epochs, training.warmup_ratio) == (5e-5, 3, 0.1)
    assert (training.batch_size, training.gradient_accumulation, config.data.max_length) == (4, 8, 1024)


def test_the_authors_log_has_their_settings():
    config = protocol("authors-log")
    training = config.training
    assert (config.data.train_rows, config.data.test_rows, config.data.max_length) == (2700, 300, 1024)
    assert (training.batch_size, training.gradient_accumulation, training.epochs) == (4, 8, 3)
    assert (training.learning_rate, training.warmup_ratio) == (5e-5, 0.1)
    assert (training.weight_decay, training.max_gradient_norm) == (0.0, 1.0)
    assert sizes("authors-log") == {"lora": 573_440, "qtha": 535_808}  # docs/method.md
