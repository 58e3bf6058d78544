import os

import pytest

from qweft.cli.main import main


def sentence(capsys, argv):
    """Run a command that must fail, and return its one sentence."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    prefix = "qweft: error: "
    assert err.startswith(prefix)
    return err.removeprefix(prefix).rstrip("\n")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a: [1\nb: 2", "line 2: not valid YAML"),
        ("training:\n  seed: 1\n  seed: 1", "line 3: duplicate key seed"),
        ("adapter: {<<: {r: 1}, <<: {r: 2}}", "duplicate key"),
        ("training:\n  max_steps: 0100", 'got "0100"'),
        ("training:\n  max_steps: 1:40", 'got "1:40"'),
        ("just words", "mapping of sections"),
        ("a: 1\n---\nb: 2", "not valid YAML"),
        ("a: " + "[" * 100_000, "not valid YAML"),
        ("a: " + "9" * 5000, "not valid YAML"),
        ("#" * 2**20 + "\n", "larger than"),
    ],
    ids=lambda text: text[:20],
)
def test_file_that_is_not_yaml(capsys, write, text, key):
    assert key in sentence(capsys, ["train", write(text)])


def test_file_that_cannot_be_read(capsys, write, tmp_path):
    assert sentence(capsys, ["train", "none.yaml"]).startswith("none.yaml: no such file")
    assert f"--data.source {tmp_path}" in sentence(capsys, ["train", str(tmp_path)])
    os.mkfifo(tmp_path / "pipe.yaml")
    for place in ("/dev/zero", f"{tmp_path}/pipe.yaml"):
        assert "no regular file" in sentence(capsys, ["train", place])
    (tmp_path / "latin.yaml").write_bytes(b"output: \xe9")
    write("")
    assert sentence(capsys, ["train", "latin.yaml"]).startswith("latin.yaml: no UTF-8 text")
