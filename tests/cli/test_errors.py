import os

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


def test_file_that_cannot_be_read(capsys, write, tmp_path):
    assert sentence(capsys, ["train", "none.yaml"]).startswith("none.yaml: no such file")
    assert f"--data.source {tmp_path}" in sentence(capsys, ["train", str(tmp_path)])
    os.mkfifo(tmp_path / "pipe.yaml")
    for place in ("/dev/zero", f"{tmp_path}/pipe.yaml"):
        assert "no regular file" in sentence(capsys, ["train", place])
    (tmp_path / "latin.yaml").write_bytes(b"output: \xe9")
    write("")
    assert sentence(capsys, ["train", "latin.yaml"]).startswith("latin.yaml: no UTF-8 text")
