"""What is given to `qweft train` in place of the config of one run."""

import pytest

from qweft.cli.main import main


@pytest.mark.parametrize("target", ["winner/run.json", "winner/adapter", "winner", "config.yaml"])
def test_a_winner_or_a_comparison_names_the_way(tmp_path, capsys, target):
    (tmp_path / "winner" / "adapter").mkdir(parents=True)
    for name in ("winner/run.json", "winner/adapter/adapter_config.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "config.yaml").write_text("methods: {lora: {adapter: {peft_type: LORA}}}\n")
    assert main(["train", str(tmp_path / target)]) == 2
    assert "--adapter.preset METHOD" in capsys.readouterr().err
