"""A disk that refuses a file, or want of memory, ends a command in one sentence, which says what is kept."""

import errno
import os

import pytest
import torch

from qweft.cli.main import main
from qweft.core.errors import memory_said, saying_when_stopped
from qweft.training import loop
from tests.cli.test_stopped import words_of, workplace  # noqa: F401


def said_of(monkeypatch, capsys, error, kept=None):
    """What the command line says of an error."""

    def fail():
        if kept is None:
            raise error
        with saying_when_stopped(kept):
            raise error

    monkeypatch.setattr("qweft.method.presets.presets", fail)
    assert main(["presets"]) == 2
    return capsys.readouterr().err.removeprefix("qweft: error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("number", "way"), [(errno.ENOSPC, "make room"), (errno.EROFS, "permissions"), (errno.EACCES, "permissions")]
)
def test_a_file_that_a_disk_refuses(monkeypatch, capsys, number, way):
    error = OSError(number, os.strerror(number), "runs/a/run.json")
    message = said_of(monkeypatch, capsys, error)
    assert "runs/a/run.json" in message and way in message and message.endswith("then give the same command again")
    kept = "2 of 5 runs are kept in runs/a"
    assert said_of(monkeypatch, capsys, error, lambda: kept).endswith(kept)


CUDA = "CUDA out of memory. Tried to allocate 20.00 GiB"
CPU = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4"


@pytest.mark.parametrize(
    ("error", "is_known"),
    [
        (torch.OutOfMemoryError(CUDA), True),
        (RuntimeError(CPU), True),
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("The size of tensor a (3) must match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_want_of_memory_is_known(error, is_known):
    assert bool(memory_said(error)) == is_known


@pytest.mark.parametrize(("command", "kept"), [("train", "nothing was kept"), ("compare", "finished runs are kept")])
def test_a_training_without_memory_says_what_is_kept(workplace, tmp_path, monkeypatch, capsys, command, kept):  # noqa: F811
    monkeypatch.setattr(loop, "_find_bases", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError(CUDA)))
    assert main(words_of(command, workplace, tmp_path / "out")) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert CUDA in message and "lower training.batch_size (now 2)" in message
    assert f"; {kept}" in message
