"""Help, lists and refusals need neither PyTorch nor transformers nor PEFT, whose imports take seconds.

All commands run in one process in which those imports fail. No time is measured: a slow machine is no fault.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.tiny_folder import save_rows

from qweft.cli.main import COMMANDS
from qweft.records import marked

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

found = []
for words in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(words)
        except HeavyImport as heavy:
            status = f"imports {heavy}"
        except SystemExit as done:
            status = done.code
    found.append([status, out.getvalue(), err.getvalue()])
print(json.dumps(found))
"""

ANSWERED = [
    "presets",
    "devices",
    "devices --json",
    "jobs",
    "jobs list --json",
    "data list",
    "completion bash",
    "completion zsh",
    "completion fish",
    "--help",
    "--version",
    "help train",
    *(f"{name} --help" for name in COMMANDS),
]

COMPARED = {
    "seeds [0,0]": "seeds must be different whole numbers",
    "rates []": "rates must be learning rates above 0",
    "reference nothing": "reference 'nothing' is not among the methods lora, qtha",
    "workers 0": "workers must be at least 1, got 0",
    "search_steps 0": "search_steps must be at least 1",
    "training.batch_size 0": "training.batch_size must be at least 1",
    "evaluation.answers -1": "evaluation.answers must be at least 0",
    "model.name ./modle": "model ./modle: not found",
    "data.source nowhere.jsonl": "data nowhere.jsonl: there is no such file or folder",
    "methods.lora.adapter.rr 3": "methods.lora: LoraConfig has no field 'rr'; did you mean 'r'?",
    "methods.lora.adapter.peft_type LOAR": "methods.lora: PEFT has no method 'LOAR'; did you mean 'LORA'?",
    "methods.lora.adapter {peft_type:\\ POLY}": "methods.lora: POLY cannot be compared: it needs a task number",
    "methods.lora.adapter {peft_type:\\ PROMPT_TUNING}": "methods.lora: PROMPT_TUNING cannot be compared: it puts",
    "methods.lora.adapter.init_lora_weights olora": "methods.lora: init_lora_weights 'olora' cannot be compared",
    "methods.qtha.adapter.core quantun": "methods.qtha: core must be one of identity, linear,",
    "methods.qtha.match_parameters none": "methods.qtha.match_parameters: 'none' is no method with a size of its own",
    "output rows.jsonl": "output rows.jsonl cannot be written",
}
REFUSED = {
    "train nowhere.yaml": "nowhere.yaml: no such file",
    "train --training.batch_size four": "--training.batch_size: expected int",
    "train --adapter.preset nosuch": "there is no preset 'nosuch'; presets: qtha,",
    "train --adapter.r 0": "r must be a whole number of at least 1, got 0",
    "train --adapter.r 20": "r = 20 means a circuit of 20 qubits",
    "train --adapter.bond 3": "QwthnConfig has no field 'bond'; fields: task_type, peft_type,",
    "train --adapter.lora_alpha 3": "QwthnConfig has no field 'lora_alpha': it is called alpha here",
    "train --adapter.use_bdlora true": "QwthnConfig has no field 'use_bdlora': it belongs to a variant of PEFT's LoRA",
    "train --adapter.dropout .inf": "adapter.dropout is inf; give a finite number",
    "train --adapter.peft_type LORAX": "PEFT has no method 'LORAX'; did you mean 'LORA'?; methods: ADALORA,",
    "train --adapter {peft_type:\\ LORA,\\ r:\\ 0}": "r must be a whole number of at least 1, got 0",
    "train --adapter {peft_type:\\ VERA,\\ rank:\\ 2}": "VeraConfig has no field 'rank'",
    "train --adapter {}": "adapter {}: give either preset (qtha, qwthn, ...) or peft_type",
    "train --model.name ./modle": "model ./modle: not found; give a local folder that holds a config.json",
    "train --model.name empty": "model empty: the folder has no config.json",
    "train --model.name config": "model config: the folder holds a config.json and no weights",
    "train --model.name smollm-135": "model smollm-135: not found; give a local folder",
    "train --model.device cpuu": "device cpuu: unknown; use auto, cpu,",
    "train --data.source nowhere.csv": "data nowhere.csv: there is no such file or folder",
    "train --data.source embedded:chitchatt": "data embedded:chitchatt: unknown; there are embedded:gsm_symbolic,",
    "train --data.max_length 1": "max_length 1: a row needs at least 2 tokens",
    "train --data.template x": "data.template 'x': it has no {query}",
    "train --data.test_rows 0": "data.test_rows must be at least 1 to judge on the test rows",
    "train --training.learning_rates.circus 1": "training.learning_rates.circus: there is no such part",
    "train --training.device nosuch": "there is no device nosuch; there are exact, shots, noisy,",
    "train --training.device noisy --training.noise nosuch": "there is no noise model nosuch",
    "train --training.device noisy --training.shots 3": "training.shots is 3, and with shots there are no exact",
    "train --checkpoints.every 0": "checkpoints.every must be at least 1",
    "train --validation.patience 3": "validation.patience needs validation.every",
    "train --report_to notes": "report_to notes: there is no such place",
    "train --evaluation.batch_size 0": "evaluation.batch_size must be at least 1",
    "train --evaluation.metrics verifier --data.source rows.jsonl": "evaluation.metrics verifier: data rows.jsonl has",
    "train --output rows.jsonl": "output rows.jsonl cannot be written",
    "train --dry-run --adapter.r 0": "r must be a whole number of at least 1, got 0",
    "plan --adapter.r 0": "r must be a whole number of at least 1, got 0",
    "plan --model.name ./modle --json": "model ./modle: not found",
    "plan --data.source nowhere.csv": "data nowhere.csv: there is no such file or folder",
    **{f"compare compare.yaml --{words}": said for words, said in COMPARED.items()},
    "compare compare.yaml --dry-run --seeds [0,0]": "seeds must be different whole numbers",
    "tune compare.yaml --rates []": "rates must be learning rates above 0",
    "tune compare.yaml --workers 0": "workers must be at least 1, got 0",
    "tune compare.yaml --dry-run --model.name ./modle": "model ./modle: not found",
    "sweep sweep.yaml --workers 0": "workers must be at least 1, got 0",
    "sweep sweep.yaml --trials 0": "trials must be at least 1",
    "sweep sweep.yaml --adapter.preset nosuch": "there is no preset 'nosuch'",
    "sweep sweep.yaml --adapter.bond 3": "QwthnConfig has no field 'bond'",
    "train --model.name ./model --data.source rows.jsonl --dry-run --output model": "output model is the folder of a",
    "sweep sweep.yaml --dry-run --output ./model": "output model is the folder of a model",
    "tune compare.yaml --output peft/adapter": "output peft/adapter is the folder of an adapter",
    "sweep sweep.yaml --space {}": "space: nothing varies",
    "sweep sweep.yaml --data.source nowhere.csv": "data nowhere.csv: there is no such file or folder",
    "sweep sweep.yaml --model.name ./modle": "model ./modle: not found",
    "sweep sweep.yaml --dry-run --output rows.jsonl": "output rows.jsonl cannot be written",
    **{
        f"{command} empty": "empty: no adapter_config.json in it"
        for command in ("evaluate", "chat", "ui", "inspect", "circuit", "export", "push --repository a/b")
    },
    **{
        f"{command} damaged/adapter": "damaged/adapter/adapter_config.json is not a record of this program"
        for command in ("evaluate", "chat", "ui", "inspect", "circuit", "export", "push --repository a/b")
    },
    **{
        f"{command} wrong/adapter": "wrong/adapter/adapter_config.json: r must be a whole number of at least 1, got 0"
        for command in ("evaluate", "chat", "ui", "inspect", "circuit", "export")
    },
    **{
        f"{command} cut/adapter": "cut/adapter/adapter_model.safetensors cannot be read as safetensors"
        for command in ("evaluate", "chat", "ui", "inspect", "circuit", "export")
    },
    **{
        f"{command} run/adapter --model.name ./modle": "model ./modle: not found"
        for command in ("evaluate", "chat", "ui", "inspect", "circuit --tokens a", "export")
    },
    **{
        f"{command} run/adapter --data.source nowhere.csv": "data nowhere.csv: there is no such file or folder"
        for command in ("evaluate", "evaluate --dry-run", "evaluate --device noisy", "inspect", "export")
    },
    "evaluate badrun/adapter": "badrun/run.json is not a record of this program",
    "evaluate run/adapter --evaluation.batch_size 0": "evaluation.batch_size must be at least 1",
    "evaluate run/adapter --evaluation.forgetting nowhere.csv": "evaluation.forgetting: data nowhere.csv: there is no",
    "evaluate run/adapter --device nosuch": "there is no device nosuch",
    "evaluate run/adapter --device noisy --noise nosuch": "there is no noise model nosuch",
    "evaluate run/adapter --device noisy --zne 2,4": "zero-noise extrapolation takes different odd factors",
    "evaluate run/adapter --device exact --shots 3": "device exact has no shots, got 3",
    "evaluate run/adapter --device noisy --prices nowhere.yaml": "price list nowhere.yaml: no such file",
    "chat run/adapter --temperature -1": "--temperature -1: give 0",
    "chat run/adapter --beside nowhere": "--beside nowhere: no such folder",
    "ui run/adapter --port 99999": "--port 99999: ports are 0 to 65535",
    "inspect run/adapter --rows 0": "rows must be at least 1, got 0",
    "inspect run/adapter --output empty": "output empty is a folder",
    "circuit run/adapter --layer nowhere": "--layer: nowhere meets no layer with a circuit",
    "circuit run/adapter --chip lattise": "there is no chip lattise; there are",
    "circuit run/adapter --token 1": "--token 1: there is no text to take it from",
    "circuit peft/adapter": "peft/adapter: an adapter of PEFT's method LORA has no circuit",
    "export run/adapter --calibration nowhere.csv": "data nowhere.csv: there is no such file or folder",
    "export run/adapter --distill-steps -1": "distill_steps must be 0 or more",
    "export run/adapter --output empty/..": "holds something that is no export",
    "export peft/adapter": "peft/adapter: nothing to export, it is a LoRA already",
    "push run/adapter --repository a/b": "run/adapter: its adapter_config.json names ./model",
    "report empty": "empty: no results.json in it",
    "report res": "res/results.json: results.json: the run (None, seed None) is not complete",
    "data check nowhere.csv": "data nowhere.csv: there is no such file or folder",
    "data check rows.jsonl --data.max_length 1": "max_length 1: a row needs at least 2 tokens",
    "data check rows.jsonl --model.name ./modle": "model ./modle: not found",
    "jobs show x": "there is no job x",
    "jobs fech": "qweft jobs: there is no fech; did you mean fetch?",
    "completion tcsh": "qweft completion: there is no tcsh",
    "doctor x": "qweft doctor takes no arguments",
    "trian": "unknown command trian; did you mean train?",
}


def words_of(line):
    return [word.replace("\0", " ") for word in line.replace("\\ ", "\0").split(" ")]


def save_adapter(folder, config, weights=None):
    """A folder as PEFT saves it, with one tensor, and without PEFT."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    key = "base_model.model.model.layers.0.self_attn.q_proj.qwthn_core.angles"
    save_file({key: np.zeros(4, np.float32)}, folder / "adapter_model.safetensors")
    if weights is not None:
        (folder / "adapter_model.safetensors").write_bytes(weights)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    place = tmp_path_factory.mktemp("quick")
    save_rows(place / "rows.jsonl")
    for name in ("empty", "config", "res"):
        (place / name).mkdir()
    (place / "config" / "config.json").write_text("{}")
    (place / "model").mkdir()
    (place / "model" / "config.json").write_text("{}")
    (place / "model" / "model.safetensors").write_bytes(b"")
    (place / "res" / "results.json").write_text('{"runs": [{}]}')
    qwthn = {
        "peft_type": "QWTHN",
        "preset": None,
        "r": 2,
        "core": "quantum_linear",
        "base_model_name_or_path": "./model",
    }
    shared = {"model": {"name": "./model"}, "data": {"source": "rows.jsonl"}}
    cache = str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:  # where the key of this user's records is
        patch.setenv("QWEFT_CACHE", cache)
        record = json.dumps(marked({"config": shared}))
    for name, config, weights in (
        ("run", qwthn, None),
        ("peft", {**qwthn, "peft_type": "LORA"}, None),
        ("wrong", {**qwthn, "r": 0}, None),
        ("damaged", "{", None),
        ("cut", qwthn, b"short"),
        ("badrun", qwthn, None),
    ):
        save_adapter(place / name / "adapter", config, weights)
        (place / name / "run.json").write_text(record if name != "badrun" else "[")
    lora, qtha = {"peft_type": "LORA", "r": 4}, {"preset": "qtha", "r": 4}
    methods = {"lora": {"adapter": lora}, "qtha": {"adapter": qtha}}
    space = {"adapter": {"r": {"values": [2, 4]}}}
    (place / "compare.yaml").write_text(yaml.safe_dump({**shared, "methods": methods}))
    (place / "sweep.yaml").write_text(yaml.safe_dump({**shared, "adapter": qtha, "space": space}))
    before = sorted(place.rglob("*"))
    lines = [*ANSWERED, *REFUSED]
    paths = os.pathsep.join([*sys.path, str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", RUNNER], input=json.dumps(list(map(words_of, lines))), cwd=place, timeout=600,
        env={**os.environ, "PYTHONPATH": paths, "QWEFT_CACHE": cache},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(place.rglob("*")) == before
    return dict(zip(lines, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("line", ANSWERED)
def test_lists_and_help_import_nothing_heavy(found, line):
    status, out, _ = found[line]
    assert (status, bool(out)) == (0, True)


@pytest.mark.parametrize("line", REFUSED)
def test_a_refusal_imports_nothing_heavy(found, line):
    status, out, err = found[line]
    assert (status, out) == (2, ""), err
    assert err.startswith("qweft: error: ") and err.count("\n") == 1
    assert REFUSED[line] in err


def test_the_runner_sees_a_heavy_import():
    program = RUNNER.replace("from qweft.cli.main import main", "def main(words):\n    import torch")
    done = subprocess.run([sys.executable, "-c", program], input="[[]]", capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)[0][0] == "imports torch"
