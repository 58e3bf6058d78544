"""A disk that refuses a file, or want of memory, ends a command in one sentence, which says what is kept."""

import errno
import os

import pytest
import torch

from qweft.cli.main import main
from qweft.errors import memory_said, saying_when_stopped
from qweft.training import loop
from tests.cli.test_stopped import place, words_of  # noqa: F401


def said_of(monkeypatch, capsys, error, kept=None):
    """What the command line says of an error."""

    def fail(words):
        if kept is None:
            raise error
        with saying_when_stopped(kept):
            raise error

    monkeypatch.setattr("qweft.cli.presets.run", fail)
    assert main(["presets"]) == 2
    return capsys.readouterr().err.removeprefix("qweft: error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "read or written (No space left on device); make room"),
        (errno.EROFS, "read or written (Read-only file system); see to the disk and to its permissions"),
        (errno.EACCES, "read or written (Permission denied); see to the disk and to its permissions"),
    ],
)
def test_a_file_that_a_disk_refuses(monkeypatch, capsys, number, said):
    error = OSError(number, os.strerror(number), "runs/a/run.json")
    told = f"'runs/a/run.json' cannot be {said}"
    assert said_of(monkeypatch, capsys, error) == f"{told}; then give the same command again"
    kept = "2 of 5 runs are kept in runs/a"
    assert said_of(monkeypatch, capsys, error, lambda: kept) == f"{told}; {kept}"


CUDA = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 3 GiB is free. "
    "Including non-PyTorch memory, this process has 70 GiB memory in use. See documentation for Memory Management"
)
CUDA_SHORT = CUDA.partition(" Including")[0].rstrip(".")
CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4"
)


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (torch.OutOfMemoryError(CUDA), CUDA_SHORT),
        (RuntimeError(CPU), CPU.partition("0. ")[2]),
        (MemoryError(), "MemoryError"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "[Errno 12] Cannot allocate memory"),
        (RuntimeError("The size of tensor a (3) must match"), None),
        (ValueError("out of memory"), None),
    ],
)
def test_want_of_memory_is_known_and_said_in_short(error, short):
    assert memory_said(error) == short


def test_memory_that_is_too_small_is_one_sentence_with_what_is_kept(monkeypatch, capsys):
    said = said_of(monkeypatch, capsys, MemoryError("no room"), lambda: "2 of 5 runs are kept")
    assert said.startswith("the memory is too small (no room); take fewer or shorter rows at a time, ")
    assert said.endswith("; 2 of 5 runs are kept")


@pytest.mark.parametrize(("command", "kept"), [("train", "nothing was kept"), ("compare", "finished runs are kept")])
def test_a_training_without_memory_says_what_is_kept(place, tmp_path, monkeypatch, capsys, command, kept):  # noqa: F811
    monkeypatch.setattr(loop, "_fit", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError(CUDA)))
    assert main(words_of(command, place, tmp_path / "out")) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"({CUDA_SHORT}); lower training.batch_size (now 2) and raise training.gradient_accumulation by as" in said
    assert f"; {kept}" in said
