"""The same export again: what was changed in the earlier one is not replaced."""

import json
from pathlib import Path

import pytest

from qweft.errors import QweftError
from qweft.exporting.checks import _check_output
from qweft.exporting.run import export
from tests.export.test_export import trained  # noqa: F401
from tests.tiny_folder import save_rows


@pytest.fixture
def again(trained, tmp_path):  # noqa: F811
    """A function that makes the same export, and its folder."""
    save_rows(tmp_path / "few.jsonl", count=12)

    def make(to="lora", **more):
        given = {"calibration": str(tmp_path / "few.jsonl"), "output": str(tmp_path / to), "to": to, **more}
        export(trained / "qtha/adapter", given, force=True)
        return tmp_path / to

    return make


@pytest.mark.parametrize(
    ("to", "name"),
    [("lora", "README.md"), ("lora", "adapter_model.safetensors"), ("merged", "chat_template.jinja"),
     ("merged", "config.json"), ("merged", "generation_config.json")],
)  # fmt: skip
def test_what_was_changed_in_an_export_is_set_aside(again, capsys, to, name):
    """A card that was written by hand, weights that were trained further, a template that was tuned."""
    output = again(to)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    assert again(to) == output and not output.with_name(f"{to}-1").exists()
    (output / name).write_text("{}")
    again(to)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert (output.with_name(f"{to}-1") / name).read_text() == "{}"
    assert "may have been changed since it was made, and is now" in " ".join(capsys.readouterr().err.split())


def test_an_export_with_other_weights_is_set_aside(again, capsys):
    """As by another rate of the distillation, or another text for the calibration in the same file."""
    output = again(distill_steps=1)
    again(distill_steps=1, distill_learning_rate=0.1)
    assert f"has other weights, and is now {output}-1" in " ".join(capsys.readouterr().err.split())


def test_an_export_of_an_earlier_version_is_set_aside(again):
    """It does not tell what its files were."""
    report = again() / "export.json"
    record = json.loads(report.read_text())
    assert set(record["files"]) == {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    report.write_text(json.dumps({key: value for key, value in record.items() if key != "files"}))
    again()
    assert (report.parent.with_name("lora-1") / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("to", ["merged", "lora"])
def test_files_of_tokenizers_are_known_as_an_export_s(tmp_path, to):
    """A model with several chat templates has a folder of them, and an export lists its files."""
    output = tmp_path / "made"
    (output / "additional_chat_templates").mkdir(parents=True)
    (output / "additional_chat_templates/tool_use.jinja").write_text("")
    (output / "export.json").write_text('{"to": "merged", "files": {"notes.tokenizer": "0"}}')
    for name in ("vocab.txt", "notes.tokenizer"):
        (output / name).write_text("")
    if to == "merged":
        _check_output(output, Path("adapter"), to)
    (output / "mine.txt").write_text("")
    with pytest.raises(QweftError, match="holds something that is no export"):
        _check_output(output, Path("adapter"), to)
