"""Help, lists and refusals need neither PyTorch nor transformers nor PEFT, whose imports take seconds.

All commands run in one process in which those imports fail. No time is measured: a slow machine is no fault.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from qweft.cli.main import COMMANDS
from qweft.core.records import write_record
from tests.tiny_folder import save_rows

RUNNER = """
import contextlib, io, json, sys
from importlib.machinery import PathFinder

class HeavyImport(BaseException):
    pass

class Refusing:
    def create_module(self, spec):
        return None

    def exec_module(self, module):
        raise HeavyImport(module.__name__)

class Finder:  # find_spec still answers, as it tells whether a package is installed
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "transformers", "peft"):
            spec = PathFinder.find_spec(name, path)
            spec.loader = Refusing()
            return spec

sys.meta_path.insert(0, Finder())
from qweft.cli.main import main

outcomes = []
for words in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(words)
        except HeavyImport as heavy:
            status = f"imports {heavy}"
        except SystemExit as done:
            status = done.code
    outcomes.append([status, out.getvalue(), err.getvalue()])
print(json.dumps(outcomes))
"""

ANSWERED = [
    "presets",
    "devices",
    "devices --json",
    "jobs",
    "jobs list --json",
    "data list",
    "--help",
    "--version",
    "help train",
    *(f"{name} --help" for name in COMMANDS),
]

FOLDER_TAKING = ("evaluate", "chat", "ui", "inspect", "circuit", "export")
REFUSED = {
    "train nowhere.yaml": "nowhere.yaml: no such file",
    "train --training.batch_size four": "--training.batch_size: should be a valid integer",
    "train --adapter.preset nosuch": "nosuch",
    "train --adapter.r 0": "got 0",
    "train --adapter.lora_alpha 3": "alpha",
    "train --adapter.dropout .inf": "adapter.dropout",
    "train --adapter.peft_type LORAX": "did you mean 'LORA'?",
    "train --adapter {peft_type:\\ LORA,\\ r:\\ 0}": "got 0",
    "train --model.name ./modle": "model ./modle: not found",
    "train --model.name config": "no weights",
    "train --data.source embedded:chitchatt": "embedded:gsm_symbolic",
    "train --data.template x": "{query}",
    "train --training.device nosuch": "exact, shots, noisy",
    "train --validation.patience 3": "validation.every",
    "train --report_to notes": "report_to notes",
    "train --evaluation.metrics verifier --data.source rows.jsonl": "evaluation.metrics verifier",
    "train --output rows.jsonl": "cannot be written",
    "train --model.name ./model --data.source rows.jsonl --dry-run --output model": "folder of a model",
    "plan --data.source nowhere.csv": "nowhere.csv",
    "compare compare.yaml --seeds [0,0]": "seeds",
    "compare compare.yaml --reference nothing": "lora, qtha",
    "compare compare.yaml --methods.lora.adapter.rr 3": "methods.lora: LoraConfig has no field 'rr'",
    "compare compare.yaml --methods.lora.adapter {peft_type:\\ PROMPT_TUNING}": "cannot be compared",
    "compare compare.yaml --methods.qtha.match_parameters none": "methods.qtha.match_parameters",
    "tune compare.yaml --rates []": "rates",
    "tune compare.yaml --output peft/adapter": "folder of an adapter",
    "tune sizes.yaml --trials 0": "trials",
    "tune sizes.yaml --space.r.values []": "space.r",
    "tune sizes.yaml --rates 1e-3": "--rates has no effect",
    "tune compare.yaml --trials 3": "--trials has no effect",
    "compare sizes.yaml": "a config of qweft tune",
    "sweep sizes.yaml": "qweft tune now",
    **{f"{command} empty": "no adapter_config.json in it" for command in (*FOLDER_TAKING, "push --repository a/b")},
    **{f"{command} damaged/adapter": "is not a record of this program" for command in FOLDER_TAKING},
    **{f"{command} wrong/adapter": "got 0" for command in FOLDER_TAKING},
    **{f"{command} cut/adapter": "safetensors" for command in FOLDER_TAKING},
    **{f"{command} run/adapter --model.name ./modle": "./modle" for command in ("evaluate", "chat", "export")},
    **{
        f"{command} run/adapter --data.source nowhere.csv": "nowhere.csv"
        for command in ("evaluate --dry-run", "inspect")
    },
    "evaluate badrun/adapter": "badrun/run.json is not a record of this program",
    "evaluate run/adapter --device noisy --noise nosuch": "there is no noise model nosuch",
    "chat run/adapter --temperature -1": "--temperature",
    "ui run/adapter --port 99999": "--port",
    "inspect run/adapter --output empty": "is a folder",
    "circuit run/adapter --chip lattise": "lattise",
    "circuit peft/adapter": "LORA has no circuit",
    "export peft/adapter": "nothing to export",
    "push run/adapter --repository a/b": "./model",
    "report empty": "no results.json there",
    "data check nowhere.csv": "nowhere.csv",
    "doctor x": "takes no arguments",
    "trian": "did you mean train?",
    "train --lr 0.1": "did you mean --training.learning_rate?",
    "train --training.learning-rat 1": "--training.learning_rate",
    "train --training.batch-size": "a value after it",
    "train --dryrun": "--dry-run",
    "train -x": "two dashes",
    "train run.yaml other.yaml": "other.yaml",
    "train rows.jsonl": "--data.source rows.jsonl",
    "train --data.source a.csv --data.sources b.csv": "exclude each other",
    "train --trust_remote_code=1": "trust",
    "train --output=": "--output",
    "compare": "CONFIG|DATA",
    "compare compare.yaml --methods.qtah.adapter.r 4": "--methods.qtha",
    "tune compare.yaml --budget 20min": "--budget",
    "evaluate none": "no such folder",
    "evaluate . --training.seed 1": "model, data, evaluation",
    "inspect . --split train": "validation",
    "data rows.jsonl": "check",
    "schema comapre": "compare",
    "init run.yaml": "qweft compare run.yaml",
    "presets all": "all",
}
WRONG = [
    ("train", "training: {learning_rat: 1}", "training.learning_rate"),
    ("train", "batch_size: 3", "training.batch_size"),
    ("train", "model: {zzz: 3}", "quantization"),
    ("train", "training: {batch_size: four}", 'training.batch_size: should be a valid integer, got "four"'),
    ("train", "training: {batch_size: true}", "true"),
    ("train", "training: {batch_size: 0}", "training.batch_size: should be greater than or equal to 1, got 0"),
    ("train", "training: {warmup_ratio: 1}", "less than 1"),
    ("train", "training: {learning_rates: {circuit: -1}}", "training.learning_rates.circuit"),
    ("train", "validation: {every: 2, patience: 0}", "validation.patience"),
    ("train", "training: {gradient_checkpointing: 1}", "valid boolean"),
    ("train", "data: {overlong: cu}", "should be 'cut' or 'drop'"),
    ("train", "training: 3", "a mapping of keys to values"),
    ("train", "adapter: qtha", "adapter"),
    ("train", "adapter: {preset: qhta}", "qtha"),
    ("train", "methods: {}\nseeds: [0]", "a config of qweft compare"),
    ("train", "output: a\noutput: b", "duplicate key output"),
    ("train", "training:\n\tseed: 1", "line 2"),
    ("train", "- a", "mapping"),
    ("compare", "seeds: [0]", "methods"),
    ("compare", "methods: {a: {}}", "methods.a.adapter"),
    ("compare", "methods: {a: {adapter: {}, learning_rate: x}}", "methods.a.learning_rate"),
    ("compare", "methods: {a: {adapter: {}}}\nseeds: 3", "valid list"),
    ("tune", "methods: {a: {adapter: {}}}\nrates: [a]", "valid number"),
    ("tune", "methods: {}\nspace: {r: 4}", "space.r"),
    ("train", "a: [1\nb: 2", "line 2: not valid YAML"),
    ("train", "training:\n  max_steps: 0100", 'got "0100"'),
    ("train", "a: " + "[" * 100_000, "not valid YAML"),
    ("train", "a: " + "9" * 5000, "not valid YAML"),
    ("train", "#" * 2**20 + "\n", "larger than"),
]
"""Configs that a command refuses, with a word of its sentence."""
REFUSED |= {f"{command} wrong-{number}.yaml": key for number, (command, _, key) in enumerate(WRONG)}


def words_of(line):
    """The words of a line, in which a backslash holds a space."""
    return [word.replace("\0", " ") for word in line.replace("\\ ", "\0").split(" ")]


def save_adapter(folder, config, weights=None):
    """A folder as PEFT saves it, with one tensor, and without PEFT."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    key = "base_model.model.model.layers.0.self_attn.q_proj.qwthn_core.angles"
    save_file({key: np.zeros(4, np.float32)}, folder / "adapter_model.safetensors")
    if weights is not None:
        (folder / "adapter_model.safetensors").write_bytes(weights)


SHARED = {"model": {"name": "./model"}, "data": {"source": "rows.jsonl"}}
QWTHN = {
    "peft_type": "QWTHN",
    "preset": None,
    "r": 2,
    "core": "quantum_linear",
    "base_model_name_or_path": "./model",
}
ADAPTERS = {
    "run": (QWTHN, None),
    "peft": ({**QWTHN, "peft_type": "LORA"}, None),
    "wrong": ({**QWTHN, "r": 0}, None),
    "damaged": ("{", None),
    "cut": (QWTHN, b"short"),
    "badrun": (QWTHN, None),
}
"""Runs by name: the config and the weights of their adapters."""


def record_of_a_run(folder, cache):
    """The record of a run, marked as this user's."""
    with pytest.MonkeyPatch.context() as patch:  # where the key of this user's records is
        patch.setenv("QWEFT_CACHE", cache)
        write_record(folder / "record.json", {"config": SHARED}, "config")
    record = (folder / "record.json").read_text()
    (folder / "record.json").unlink()
    return record


def fill(folder, cache):
    """Write what the command lines name: rows, models, runs and configs."""
    save_rows(folder / "rows.jsonl")
    for name in ("empty", "config", "res", "model"):
        (folder / name).mkdir()
    for name in ("config", "model"):
        (folder / name / "config.json").write_text("{}")
    (folder / "model" / "model.safetensors").write_bytes(b"")
    (folder / "res" / "results.json").write_text('{"runs": [{}]}')
    record = record_of_a_run(folder, cache)
    for name, (config, weights) in ADAPTERS.items():
        save_adapter(folder / name / "adapter", config, weights)
        (folder / name / "run.json").write_text("[" if name == "badrun" else record)
    lora = {"adapter": {"peft_type": "LORA", "r": 4}}
    qtha = {"adapter": {"preset": "qtha", "r": 4}}
    configs = {
        "compare": {"methods": {"lora": lora, "qtha": qtha}},
        "sizes": {"methods": {"qtha": qtha}, "space": {"r": {"values": [2, 4]}}},
    }
    for name, keys in configs.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**SHARED, **keys}))
    for number, (_, text, _) in enumerate(WRONG):
        (folder / f"wrong-{number}.yaml").write_text(text)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Exit status, output and errors of each line, all run in one process; they leave their folder as it was."""
    folder = tmp_path_factory.mktemp("quick")
    cache = str(tmp_path_factory.mktemp("cache"))
    fill(folder, cache)
    before = sorted(folder.rglob("*"))
    lines = [*ANSWERED, *REFUSED]
    paths = os.pathsep.join([*sys.path, str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", RUNNER], input=json.dumps(list(map(words_of, lines))), cwd=folder, timeout=600,
        env={**os.environ, "PYTHONPATH": paths, "QWEFT_CACHE": cache},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(folder.rglob("*")) == before
    return dict(zip(lines, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("line", ANSWERED)
def test_lists_and_help_import_nothing_heavy(outcomes, line):
    status, out, _ = outcomes[line]
    assert (status, bool(out)) == (0, True)


@pytest.mark.parametrize("line", REFUSED)
def test_a_refusal_imports_nothing_heavy(outcomes, line):
    status, out, err = outcomes[line]
    assert (status, out) == (2, ""), err
    assert err.startswith("qweft: error: ") and err.count("\n") == 1
    assert REFUSED[line] in err
