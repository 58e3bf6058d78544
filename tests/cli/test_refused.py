"""A command that is refused leaves the file system as it was."""

import hashlib
from pathlib import Path

import pytest
import yaml

from qweft.cli.main import main
from tests.tiny_folder import save_rows, save_tiny_model

# the large cores of the recorded start, so that a fit by a LoRA loses something
CIRCUIT = {
    "preset": "qtha", "start": "recorded", "r": 2, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj"]
}  # fmt: skip
LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}
TINY = ["--model.name", "model", "--data.source", "rows.jsonl", "--data.max_length", "48"]
SPLIT = ["--data.validation_rows", "4", "--data.test_rows", "4"]

TRAINED = {
    "damaged data": ["--data.source", "damaged.jsonl"],
    "too few rows": ["--data.test_rows", "4000"],
    "nothing left to learn": ["--data.max_length", "2"],
    "an unknown device": ["--model.device", "cuda:99"],
    "the base model's own folder": ["--output", "model/"],
    "an adapter's own folder": ["--output", "run/adapter"],
    "the data's own folder": ["--data.source", "rows", "--output", "rows/../rows"],
}
OWN = {
    "train": {
        "no such layer": ["--adapter.target_modules", "[nowhere]"],
        "checkpoints of another run": ["--output", "stopped"],
        "not to be resumed": ["--output", "stopped", "--resume", "auto"],
        "a device without circuits": ["--adapter", "{peft_type: LORA}", "--training.device", "noisy"],
    },
    "compare": {
        "no such layer": ["--methods.lora.adapter.target_modules", "[nowhere]"],
        "workers": ["--workers", "2", "--data.source", "damaged.jsonl"],
    },
    "tune": {"nothing fits": ["--budget", "1 parameters"]},
}
JUDGED = (
    "export run/adapter --calibration nowhere.jsonl",
    "export lora/adapter --calibration rows.jsonl",
    "export run/adapter --largest-lost-share 0 --calibration-tokens 2",
    "evaluate run/adapter --data.source nowhere.jsonl --device noisy --shots 8",
    "evaluate lora/adapter --device noisy --shots 8",
    "inspect run/adapter --data.source nowhere.jsonl",
    "circuit run/adapter --layer nowhere --picture new/deeper/picture.svg",
    "push run/adapter --repository a/b",
)
CASES = {
    f"{command}, {name}": [command, f"{command}.yaml", *TINY, *SPLIT, *options]
    for command in OWN
    for name, options in {**(TRAINED if command == "train" else {}), **OWN[command]}.items()
} | {words: words.split() for words in JUDGED}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    save_tiny_model(folder / "model")
    save_rows(folder / "rows.jsonl")
    (folder / "rows").mkdir()
    save_rows(folder / "rows" / "some.jsonl")
    (folder / "damaged.jsonl").write_text('{"prompt": "a", "completion": "b"}\n{"prompt": \n')
    methods = {"lora": {"adapter": LORA}, "qtha": {"adapter": CIRCUIT}}
    training = {"max_steps": 1, "batch_size": 2, "gradient_accumulation": 1}
    configs = {"train": {"adapter": CIRCUIT}, "compare": {"methods": methods}}
    configs["tune"] = {"methods": {"qtha": methods["qtha"]}, "space": {"r": {"values": [2, 4]}}, "trials": 2}
    for name, config in configs.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**config, "training": training}))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for output, adapter in (("run", CIRCUIT), ("lora", LORA)):
            own = ["--adapter", yaml.safe_dump(adapter, default_flow_style=True), "--output", output]
            assert main(["train", "train.yaml", *TINY, *SPLIT, *own]) == 0
        stopped = Path("stopped/checkpoints/checkpoint-2")
        stopped.mkdir(parents=True)
        (stopped / "complete").touch()
        stopped.with_name("identity.json").write_text('{"format": 1, "run": {"adapter": "another"}}')
        yield folder


def all_files(folder):
    """All folders, and all files with their contents and times."""
    return {
        path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize(
    ("case", "there"), [(case, False) for case in CASES] + [(case, True) for case in CASES if case not in JUDGED]
)
def test_a_refused_command_leaves_nothing(workplace, tmp_path, capsys, case, there):
    words = CASES[case]
    output = tmp_path / "new" / "deeper"
    if there:
        output.mkdir(parents=True)
        (output / "worker-2.log").write_text("mine")
    if words[0] != "push" and "--output" not in words:
        words = [*words, "--output", str(output / "file" if words[0] in ("inspect", "circuit") else output)]
    before = all_files(workplace), all_files(tmp_path)
    assert main(words) == 2, capsys.readouterr()
    assert (all_files(workplace), all_files(tmp_path)) == before
