"""Parts of a task on several threads: each once, errors raised, and no hang after a fork."""

import ctypes
import os
import threading

import numpy as np
import pytest
import torch

from qweft.circuit import crz_ring_ansatz, expectation_values
from qweft.circuit.cpu import compiled, threads
from tests.forked import Forked, needs_fork

PARTS = [(start, start + 3) for start in range(0, 30, 3)]


@pytest.fixture(params=["OpenMP", "pool"])
def way(request, monkeypatch):
    if request.param == "pool":
        monkeypatch.setattr(threads, "openmp", lambda: None)
    elif threads.openmp() is None:
        pytest.skip("PyTorch has not loaded GNU's OpenMP here")
    return request.param


def test_each_part_is_done_once(way):
    done = []
    threads.share_out(lambda part, start, stop: done.append((part, start, stop)), PARTS)
    assert sorted(done) == [(number, *part) for number, part in enumerate(PARTS)]


def test_parts_are_done_at_the_same_time(way):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    meeting = threading.Barrier(2, timeout=60)
    try:
        threads.share_out(lambda *_: meeting.wait(), [(0, 1), (1, 2)])
    finally:
        torch.set_num_threads(before)
    assert not meeting.broken


def test_a_signal_that_ctypes_drops_is_raised(way, monkeypatch):
    """It may come when a thread has entered Python and not yet the `try`; then the thread ends nothing."""
    if way == "pool":
        pytest.skip("nothing of C calls Python there")
    _, on_each = threads.openmp()

    def as_if_dropped(function, data, *rest):
        np.ctypeslib.as_array(ctypes.cast(data, ctypes.POINTER(ctypes.c_int64)), (3,))[0] = 1

    monkeypatch.setattr(threads, "openmp", lambda: (as_if_dropped, on_each))
    with pytest.raises(KeyboardInterrupt):
        threads.share_out(lambda *_: None, PARTS)


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_in_a_part_is_raised(way, failing):
    def fail(part, start, stop):
        if part == failing:
            raise RuntimeError(f"part {part}")

    with pytest.raises(RuntimeError, match=f"part {failing}"):
        threads.share_out(fail, [(0, 1), (1, 2)])


@needs_fork
def test_a_forked_process_computes_too(tmp_path, monkeypatch):
    """GNU's OpenMP would wait for ever for threads that did not come along."""
    monkeypatch.setattr(compiled, "WORK_OF_A_THREAD", 1)
    circuit, before = crz_ring_ansatz(4, 2), torch.get_num_threads()
    inputs, parameters = torch.randn(40, 4), torch.randn(circuit.parameters)
    assert os.getpid() == threads.FIRST_PROCESS

    def work():
        torch.set_num_threads(2)
        return int(not torch.equal(expectation_values(circuit, inputs, parameters), wanted))

    try:
        torch.set_num_threads(2)
        wanted = expectation_values(circuit, inputs, parameters)
        child = Forked(work, tmp_path / "said")
        assert child.ended(60) == 0, child.said
    finally:
        torch.set_num_threads(before)
