"""Wrong inputs of commands and configs: one sentence each, which holds the key word, and exit status 2."""

import pytest

from qweft.cli.main import main

FILES = {
    "run.yaml": "adapter: {preset: qtha, r: 6}\n",
    "comparison.yaml": "methods: {lora: {adapter: {peft_type: LORA}}, qtha: {adapter: {preset: qtha}}}\n",
    "rows.jsonl": '{"prompt": "a", "completion": "b"}\n',
    "results.json": "{",
}
CONFIGS = [
    ("train", "training: {learning_rat: 1}", "training.learning_rate"),
    ("train", "batch_size: 3", "training.batch_size"),
    ("train", "model: {zzz: 3}", "quantization"),
    ("train", "training: {batch_size: four}", 'training.batch_size: expected int of at least 1, got "four"'),
    ("train", "training: {batch_size: 4.5}", "4.5"),
    ("train", "training: {batch_size: true}", "true"),
    ("train", "training: {batch_size: null}", "null"),
    ("train", "training: {batch_size: 0}", "training.batch_size: expected int of at least 1, got 0"),
    ("train", "training: {warmup_ratio: 1}", "at least 0 and below 1"),
    ("train", "training: {learning_rate: .inf}", "above 0"),
    ("train", "training: {learning_rates: {circuit: -1}}", "training.learning_rates.circuit"),
    ("train", "data: {max_length: 1}", "of at least 2"),
    ("train", "validation: {every: 2, patience: 0}", "validation.patience"),
    ("train", "training: {max_steps: [1]}", "max_steps: expected int"),
    ("train", "training: {gradient_checkpointing: 1}", "true or false"),
    ("train", "data: {overlong: cu}", "one of cut, drop"),
    ("train", "output: 3", "expected text"),
    ("train", "training: 3", "a mapping of keys to values"),
    ("train", "adapter: qtha", "adapter"),
    ("train", "adapter: {preset: qhta}", "qtha"),
    ("train", "adapter: {preset: qtha, rr: 3}", "rr"),
    ("train", "seeds: [0]\nmethods: {}", "a config of qweft compare"),
    ("train", "output: a\noutput: b", "duplicate key output"),
    ("train", "training:\n\tseed: 1", "line 2"),
    ("train", "- a", "mapping"),
    ("compare", "seeds: [0]", "methods"),
    ("compare", "methods: {a: {}}", "methods.a.adapter"),
    ("compare", "methods: {a: {adapter: {}, learning_rate: x}}", "methods.a.learning_rate"),
    ("compare", "methods: {a: {adapter: {}}}\nseeds: 3", "list of int"),
    ("tune", "methods: {a: {adapter: {}}}\nrates: [a]", "list of float above 0 or null"),
    ("sweep", "adapter: {preset: qtha}", "space"),
]
COMMANDS = [
    ("trian", "did you mean train?"),
    ("train --training.learning-rat 1", "--training.learning_rate"),
    ("train --training.batch-size four", "--training.batch-size: expected int"),
    ("train --training.batch-size", "a value after it"),
    ("train --dryrun", "--dry-run"),
    ("train -x", "two dashes"),
    ("train --json=1", "json"),
    ("train run.yaml other.yaml", "other.yaml"),
    ("train rows.jsonl", "--data.source rows.jsonl"),
    ("train --data.source a.csv --data.sources b.csv", "exclude each other"),
    ("train --trust_remote_code=1", "trust"),
    ("train --output=", "--output"),
    ("compare", "CONFIG|DATA"),
    ("compare comparison.yaml --methods.qtah.adapter.r 4", "--methods.qtha"),
    ("compare comparison", "comparison.yaml"),
    ("tune comparison.yaml --budget 20min", "--budget"),
    ("evaluate none", "no such folder"),
    ("evaluate . --max_circuts 1", "--max-circuits"),
    ("evaluate . --training.seed 1", "model, data, evaluation"),
    ("inspect . --split train", "validation"),
    ("report .", "results.json"),
    ("data rows.jsonl", "check"),
    ("data list rows.jsonl", "rows.jsonl"),
    ("jobs shwo", "show"),
    ("jobs show", "token"),
    ("schema comapre", "compare"),
    ("evaluate . --max-circuits", "a value after it"),
    ("train comparison.yaml --dry-run", "a config of qweft compare"),
    ("init run.yaml", "qweft compare run.yaml"),
    ("presets all", "all"),
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def check(place, capsys, words, key):
    before = sorted(place.rglob("*"))
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1), (out, err)
    assert err.startswith("qweft: error: ") and key in err, err
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(("command", "text", "key"), CONFIGS)
def test_wrong_config(place, capsys, command, text, key):
    (place / "x.yaml").write_text(text)
    check(place, capsys, [command, "x.yaml"], key)


@pytest.mark.parametrize(("line", "key"), COMMANDS)
def test_wrong_command(place, capsys, line, key):
    check(place, capsys, line.split(), key)
