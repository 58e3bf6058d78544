"""Files and folders are replaced whole or not at all."""

import os
from pathlib import Path

import pytest

from qweft.core.errors import QweftError
from qweft.core.files import (
    check_can_be_written,
    check_file,
    folder_beside,
    write_bytes,
)
from qweft.core.records import read_record, write_record


def test_a_folder_takes_the_place_of_the_old_one(tmp_path):
    target = tmp_path / "adapter"
    for text in ("old", "new"):
        with folder_beside(target) as beside:
            (beside / "file").write_text(text)
    assert (target / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_a_failed_write_leaves_the_old_folder(tmp_path):
    target = tmp_path / "adapter"
    with folder_beside(target) as beside:
        (beside / "file").write_text("old")
    with pytest.raises(OSError, match="disk full"), folder_beside(target) as beside:
        (beside / "file").write_text("half")
        raise OSError("disk full")
    assert (target / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_a_kill_between_the_renames_is_mended_by_the_next_write(tmp_path):
    old = tmp_path / ".adapter.old"
    old.mkdir()
    (old / "file").write_text("old")
    with pytest.raises(OSError, match="again"), folder_beside(tmp_path / "adapter"):
        raise OSError("again")
    assert (tmp_path / "adapter" / "file").read_text() == "old"


def test_whether_a_folder_can_be_written_is_seen_without_making_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    for folder in (".", "new", "new/deeper", tmp_path, tmp_path / "new"):
        check_can_be_written(Path(folder))
    for folder in ("file", "file/new"):
        with pytest.raises(QweftError, match="file is no folder"):
            check_can_be_written(Path(folder))
    with pytest.raises(OSError, match="File name too long"):
        check_can_be_written(Path("x" * 300))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(QweftError, match="Permission denied"):
        check_can_be_written(Path("new"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_process_of_the_same_number_on_another_machine_writes_the_same_file(tmp_path, monkeypatch):
    """Workers in two containers, whose first process is number 1 in each, write one results file."""
    sync, others = os.fsync, []

    def sync_while_another_writes(handle):
        if not others:
            others.append(True)
            write_bytes(tmp_path / "a", b"other")
        sync(handle)

    monkeypatch.setattr(os, "fsync", sync_while_another_writes)
    write_bytes(tmp_path / "a", b"mine")
    assert (tmp_path / "a").read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_in_place_of_a_file_is_one_sentence(tmp_path):
    (tmp_path / "report.md").mkdir()
    with pytest.raises(QweftError, match="folder"):
        write_bytes(tmp_path / "report.md", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs the streams of Linux")
def test_no_device_pipe_or_stream_is_replaced_by_a_file(tmp_path):
    file, null, pipe = (tmp_path / name for name in ("file.json", "null", "pipe"))
    file.write_text("{}")
    null.symlink_to("/dev/null")
    os.mkfifo(pipe)
    with file.open() as opened:  # the stream of a process may well be a regular file
        for path in (null, Path(f"/dev/fd/{opened.fileno()}"), Path("/dev/null")):
            with pytest.raises(QweftError, match="device"):
                write_bytes(path, b"new")
            with pytest.raises(QweftError, match="--output"):
                check_file(path, "--output", "json")
        assert null.is_symlink()
    with pytest.raises(QweftError, match="device"):
        check_file(pipe, "--output", "json")
    link = tmp_path / "link.json"
    link.symlink_to(file)
    for path in (file, link, tmp_path / "new.json"):
        check_file(path, "--output", "json")
        write_bytes(path, b"new")
        assert path.read_bytes() == b"new"
    with pytest.raises(QweftError, match=r"file\.json is there already, and is no \.qasm file; give another name"):
        check_file(file, "--output", "qasm")
    (tmp_path / "g.qasm3").touch()
    check_file(tmp_path / "g.qasm3", "--output", "qasm")
    check_file(tmp_path / "other", "--output", "qasm")


def test_a_record_of_another_format_is_none_of_this_program(tmp_path):
    write_record(tmp_path / "a.json", {"runs": []})
    assert read_record(tmp_path / "a.json", "remove it") == {"runs": []}
    for text in ('{"format": 2}', '{"runs": []}', "[]", "{", '{"a": NaN}'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(QweftError, match=r"a\.json is not a record of this program; remove it"):
            read_record(tmp_path / "a.json", "remove it")
