"""Parts of a task on several threads: each once, errors raised, and no hang after a fork."""

import ctypes
import gc
import os
import sys
import threading
import weakref

import numpy as np
import pytest
import torch

from qweft.circuit import compiled, crz_ring_ansatz, expectation_values, threads
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


def test_threads_without_a_part_do_not_wait_for_the_interpreter():
    """A machine has many more threads than a small circuit has parts."""
    if threads.openmp() is None:
        pytest.skip("PyTorch has not loaded GNU's OpenMP here")
    run, on_each = threads.openmp()
    calls, before = [], torch.get_num_threads()
    function = threads.BODY(calls.append)
    data = np.array([0, 2, ctypes.c_void_p.from_buffer(function).value], np.int64)
    torch.set_num_threads(6)
    try:
        run(on_each, data.ctypes.data, 0, 0)
    finally:
        torch.set_num_threads(before)
    assert len(calls) == 2 and data[0] == 6


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


def test_nothing_is_kept_without_a_collection(way):
    gc.disable()
    try:

        class Task:
            def __call__(self, *_):
                pass

        task = Task()
        kept = weakref.ref(task)
        threads.share_out(task, PARTS)
        del task
        assert kept() is None
    finally:
        gc.enable()


def test_a_kernel_that_does_not_compile_leaves_the_pool(monkeypatch):
    monkeypatch.setitem(sys.modules, "qweft.circuit.team_kernel", None)
    assert threads.openmp.__wrapped__() is None


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
