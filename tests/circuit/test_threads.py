"""Parts of a task on several threads: each once, errors raised, and no hang after a fork."""

import ctypes
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from qweft.circuit import compiled, crz_ring_ansatz, expectation_values, team_kernel, threads
from tests.forked import Forked, needs_fork

PARTS = [(start, start + 3) for start in range(0, 30, 3)]


@pytest.fixture(params=["OpenMP", "pool"])
def way(request, monkeypatch):
    if request.param == "pool":
        monkeypatch.setattr(threads, "parallel", lambda: None)
    elif threads.parallel() is None:
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
    run = threads.parallel()
    if run is None:
        pytest.skip("PyTorch has not loaded GNU's OpenMP here")
    calls, before = [], torch.get_num_threads()
    function = threads.BODY(calls.append)
    data = np.array([0, 2, ctypes.cast(function, ctypes.c_void_p).value], np.int64)
    torch.set_num_threads(6)
    try:
        run(team_kernel.run.address, data.ctypes.data, 0, 0)
    finally:
        torch.set_num_threads(before)
    assert len(calls) == 2 and data[0] == 6


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_in_a_part_is_raised(way, failing):
    def fail(part, start, stop):
        if part == failing:
            raise RuntimeError(f"part {part}")

    with pytest.raises(RuntimeError, match=f"part {failing}"):
        threads.share_out(fail, [(0, 1), (1, 2)])


def test_the_threads_are_those_of_pytorch():
    """A library that PyTorch has not loaded would start threads of its own beside PyTorch's."""
    loaded = Path("/proc/self/maps")
    if threads.parallel() is None or not loaded.exists():
        pytest.skip("PyTorch has not loaded GNU's OpenMP here")
    found = {line.split()[-1] for line in loaded.read_text().splitlines() if "libgomp" in line}
    assert any(Path(name).is_relative_to(Path(torch.__file__).parent) for name in found)


@needs_fork
def test_a_forked_process_computes_too(tmp_path, monkeypatch):
    """GNU's OpenMP would wait for ever for threads that did not come along."""
    monkeypatch.setattr(compiled, "WORK_OF_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    circuit = crz_ring_ansatz(4, 2)
    inputs, parameters = torch.randn(40, 4), torch.randn(circuit.parameters)
    wanted = expectation_values(circuit, inputs, parameters)
    assert os.getpid() == threads.FIRST_PROCESS

    def work():
        return int(not torch.equal(expectation_values(circuit, inputs, parameters), wanted))

    child = Forked(work, tmp_path / "said")
    assert child.ended(60) == 0, child.said
