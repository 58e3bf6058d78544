"""`--dry-run` of everything that starts long work: says what would be done, does none of it, finds what is wrong."""

import json

import pytest

from qweft.cli.main import main
from tests.tiny_folder import save_rows, save_tiny_model

COMPARISON = """\
model: {{name: {model}, dtype: float32, device: cpu}}
data: {{source: {rows}, validation_rows: 4, test_rows: 4, max_length: 64}}
training: {{max_steps: 2, batch_size: 2, gradient_accumulation: 1}}
evaluation: {{answers: 0}}
"""
ADAPTER = "{preset: qtha, r: 2, circuit_layers: 1, width: 8, bond_dimension: 2, target_modules: [q_proj]}"
LORA = "{peft_type: LORA, r: 2, target_modules: [q_proj]}"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Config files, and the folder of a tiny run."""
    root = tmp_path_factory.mktemp("dry")
    shared = COMPARISON.format(model=save_tiny_model(root / "model"), rows=save_rows(root / "rows.jsonl"))
    (root / "run.yaml").write_text(f"{shared}adapter: {ADAPTER}\n")
    methods = f"methods: {{lora: {{adapter: {LORA}}}, qtha: {{adapter: {ADAPTER}}}}}\nrates: [1e-3, 1e-2]\n"
    (root / "compare.yaml").write_text(shared + methods)
    space = f"methods: {{qtha: {{adapter: {ADAPTER}}}}}\nspace: {{r: {{values: [2, 3]}}}}\n"
    (root / "sizes.yaml").write_text(shared + space)
    assert main(["train", str(root / "run.yaml"), "--output", str(root / "run")]) == 0
    return root


def commands(workplace):
    adapter = str(workplace / "run" / "adapter")
    return {
        "train": [str(workplace / "run.yaml"), "--output", "out"],
        "compare": [str(workplace / "compare.yaml"), "--output", "out"],
        "tune": [str(workplace / "compare.yaml"), "--output", "out"],
        "evaluate": [adapter, "--evaluation.metrics", "reasoning", "--evaluation.forgetting_rows", "3",
                     "--evaluation.forgetting", str(workplace / "more.jsonl")],
        "inspect": [adapter, "--output", "found.json"],
        "export": [adapter, "--output", "out"],
        "push": [adapter, "--repository", "me/mine", "--base-model", "owner/base"],
    }  # fmt: skip


SAID = {
    "train": ["trainable parameters (2 layers)", "steps", "memory"],
    "compare": ["lora", "qtha", "6 runs", "312 0.01 2"],
    "tune": ["0.001, 0.01", "at most 10 trainings at seeds"],
    "evaluate": ["on the test rows", "3 rows of", "more.jsonl", "scored by reasoning"],
    "inspect": ["8 validation rows", "256", "found.json"],
    "export": ["what is fitted, on at most 16,384 tokens"],
    "push": ["me/mine", "private"],
}


@pytest.mark.parametrize("command", SAID)
def test_it_says_what_would_be_done_and_leaves_nothing(workplace, tmp_path, monkeypatch, capsys, command):
    save_rows(workplace / "more.jsonl")
    monkeypatch.chdir(tmp_path)
    before = sorted(workplace.rglob("*"))
    assert main([command, *commands(workplace)[command], "--dry-run"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for words in SAID[command]:
        assert words in out
    assert not list(tmp_path.iterdir()) and sorted(workplace.rglob("*")) == before


@pytest.mark.parametrize("command", ["train", "compare", "tune", "export"])
def test_an_output_that_cannot_be_written_is_found(workplace, tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    given = [word if word != "out" else "file/deep/out" for word in commands(workplace)[command]]
    assert main([command, *given, "--dry-run"]) == 2
    assert "cannot be written (" in capsys.readouterr().err
    given = [word if word != "out" else "new/deep/out" for word in commands(workplace)[command]]
    assert main([command, *given, "--dry-run"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("command", ["evaluate", "inspect", "export"])
def test_it_can_be_had_as_json(workplace, tmp_path, monkeypatch, capsys, command):
    save_rows(workplace / "more.jsonl")
    monkeypatch.chdir(tmp_path)
    assert main([command, *commands(workplace)[command], "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dry_run"][0].startswith("adapter ")
