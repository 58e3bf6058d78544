import os

from qweft.cli.main import main


def test_a_file_that_cannot_be_read_is_told_in_one_sentence(capsys, write, tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"output: \xe9")
    write("")
    words_by_file = {"/dev/zero": "no regular file", f"{tmp_path}/pipe.yaml": "no regular file"}
    words_by_file |= {str(tmp_path): f"--data.source {tmp_path}", "latin.yaml": "latin.yaml: no UTF-8 text"}
    for file, words in words_by_file.items():
        assert main(["train", file]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("qweft: error: ") and err.count("\n") == 1 and words in err
