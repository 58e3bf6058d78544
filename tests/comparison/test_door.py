"""A data file in the place of a config: budgets, the config that it stands for, and what is refused."""

import json
import shutil
from dataclasses import replace

import pytest

from qweft.cli.command import COMMANDS
from qweft.cli.comparisons import comparison_of
from qweft.cli.main import main
from qweft.cli.parser import read
from qweft.comparison.config import HalvingConfig, MethodConfig
from qweft.comparison.plan import resolve, within
from qweft.comparison.search.starter import QUICK, config_of_model, starter, width_of
from qweft.comparison.timing import Budget, budget_of
from qweft.core.errors import QweftError
from qweft.models.config import ModelConfig
from tests.comparison.comparison_examples import LORA, comparison


def config_of(argv):
    return comparison_of(read(argv, COMMANDS["compare"]))


@pytest.mark.parametrize(
    ("text", "seconds", "parameters"),
    [
        (None, None, None),
        ("1.5h", 5400.0, None),
        ("200_000 parameters", None, 200_000),
        (" 200k parameters , 2 h ", 7200.0, 200_000),
    ],
)
def test_budgets_are_read(text, seconds, parameters):
    assert budget_of(text) == Budget(seconds, parameters)


@pytest.mark.parametrize("text", ["20m", "20min,30min", "5s", "-20min", "\x1b[2J"])
def test_other_budgets_are_refused_in_one_sentence(text):
    with pytest.raises(QweftError, match=r"^budget .*give 20min, .*'20min,200k'$") as fault:
        budget_of(text)
    assert "\x1b" not in str(fault.value)


def test_the_searches_of_a_wider_model_begin_at_lower_rates(tmp_path):
    def rates(width):
        (tmp_path / "config.json").write_text(json.dumps({"hidden_size": width, "model_type": "llama"}))
        (tmp_path / "model.safetensors").write_bytes(b"")
        return starter("a.csv", ModelConfig(name=str(tmp_path)))["methods"]["lora"]["search_from"]

    assert (rates(576), rates(896), rates(4096), rates(64)) == (4e-3, 2e-3, 1.7e-4, 4e-3)
    (tmp_path / "config.json").write_text("[]")
    assert config_of_model(ModelConfig(name=str(tmp_path))) == {} == config_of_model(ModelConfig(name="nowhere/no"))
    assert width_of({}) == 576 and width_of({"text_config": {"d_model": 64}}) == 64


def test_init_writes_what_compare_would_run(places, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(places[1], "my rows.jsonl")
    argv = ["my rows.jsonl", "--model", places[0], "--budget", "5min,1M", "--data.max_length", "48"]
    assert main(["init", *argv]) == 0 and "run it: qweft compare my-rows.yaml" in capsys.readouterr().out
    in_memory = config_of(argv)[0]
    assert (in_memory, {}) == config_of(["my-rows.yaml"]) and len(in_memory.methods) == 8
    assert in_memory.data.max_length == 48 and in_memory.output == "runs/my-rows" and in_memory.model.name == places[0]


def test_options_change_the_config_of_data(places):
    argv = ["a.csv", "--methods.lora.learning_rate", "1e-3", "--seeds", "5,6,7", "--output", "out", "--preset=thorough"]
    config, _ = config_of(argv)
    assert config.methods["lora"].learning_rate == 1e-3 and config.seeds == [5, 6, 7] and config.output == "out"
    assert len(config.methods) == 13 and config.halving == HalvingConfig(4)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("init rows.jsonl --output rows.yaml", "rows.yaml is there already"),
        ("compare none.csv", "data none.csv"),
        ("compare rows.yaml --preset quick", "--preset"),
        ("compare rows.yaml --train", "recommend: true"),
        ("compare rows.jsonl --train --workers 2", "--train is for one process"),
        ("compare rows.jsonl --budget 20m", "budget '20m'"),
        ("compare rows.jsonl --halving.finalists null", "budget 20min: a time needs halving.finalists"),
        ("compare rows.yaml --halving.finalists 2 --search true", "halving stops methods"),
        ("tune rows.jsonl", "--data.source rows"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_loaded(tmp_path, monkeypatch, capsys, words, key):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (tmp_path / "rows.yaml").write_text(f"methods: {{lora: {{adapter: {json.dumps(LORA)}}}}}\n")
    (tmp_path / "odd.csv").write_text("Frage,Antwort\na,b\n")
    assert main(words.split()) == 2
    err = capsys.readouterr().err
    assert key in err and err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["odd.csv", "rows.jsonl", "rows.yaml"]


def limited(places, tmp_path, budget):
    methods = {"lora": {**LORA, "r": 8}, "small": MethodConfig(LORA, rate_of="lora")}
    return resolve(comparison(places, tmp_path, methods=methods, search=True, budget=budget))


def test_methods_above_the_limit_of_parameters_are_left_out(places, tmp_path):
    whole = limited(places, tmp_path, None)
    sizes = {method.name: method.trainable_parameters for method in whole.methods}
    assert sizes["lora"] > sizes["small"] and whole.reference == "lora" and not whole.untried
    plan = limited(places, tmp_path, f"{sizes['lora'] - 1} parameters")
    assert [method.name for method in plan.methods] == ["small"] and plan.reference == "small"
    assert plan.methods[0].rate_of is None and plan.methods[0].searched
    assert [method.name for method in plan.untried] == ["lora"]
    same = limited(places, tmp_path, f"{sizes['lora']} parameters")
    assert [method.name for method in same.methods] == ["lora", "small"] and same.methods[1].rate_of == "lora"
    with pytest.raises(QweftError, match="every method trains more than 3 parameters; the smallest, small"):
        limited(places, tmp_path, "3 parameters")
    other = replace(whole.methods[1], name="ia3", adapter={"peft_type": "IA3"})
    timed = replace(whole, methods=(other, whole.methods[0]))
    assert within(timed).methods[0].name == "lora"  # which is never left out


@pytest.mark.parametrize(
    ("family", "layers", "without"),
    [
        ("llama", None, set()),
        ("phi3", "all-linear", {"lora_all", "lora_1", "ia3"}),
    ],
)
def test_models_without_default_layers_of_pefts_are_compared_too(tmp_path, family, layers, without):
    """PEFT has no default layers for some thirty types of models, and refuses an adapter that names none."""
    from transformers import AutoConfig

    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "pad_token_id": 0}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    AutoConfig.for_model(family, **sizes, **heads).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    model = ModelConfig(name=str(tmp_path))
    methods = starter("a.csv", model)["methods"]
    targets = [methods[name]["adapter"].get("target_modules") for name in ("lora", "qtha", "sparse")]
    assert targets == [layers, layers, "all-linear"] and QUICK.keys() - methods.keys() == without
