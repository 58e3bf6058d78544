"""`share_out`: parts of a task on the threads that PyTorch computes with, or on a pool where they cannot be had.

PyTorch's threads spin after a loop, so a pool gets half a core: 8 qubits, 512 tokens took 6.5 ms with one, else 4.1 ms.
"""

import ctypes
import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

Task = Callable[[int, int, int], None]
"""Called with the number of a part, its start and its stop."""

FIRST_PROCESS = os.getpid()
"""GNU's OpenMP hangs in a process that was forked from one that used it."""
BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def share_out(task: Task, parts: Sequence[tuple[int, int]]) -> None:
    """Call the task for every part, each on one of the threads; the first error that one raises is raised here."""
    if len(parts) == 1:
        return task(0, *parts[0])
    team = openmp() if os.getpid() == FIRST_PROCESS else None
    return _by_pool(task, parts) if team is None else _by_openmp(team, task, parts)


@lru_cache(maxsize=1)
def openmp() -> tuple[Any, int] | None:
    """Return `GOMP_parallel` of PyTorch's OpenMP library and the address of what a thread runs; `None` without them."""
    # it calls a function once on each thread of a team; GCC's compiled code starts its parallel regions by it
    for found in sorted(Path(torch.__file__).parent.glob("lib/libgomp*.so*")):
        try:
            library = ctypes.CDLL(str(found), mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
            function = library.GOMP_parallel
            from qweft.circuit.cpu.team_kernel import run

            address = int(run.address)
        except Exception:  # another one is loaded, there is no RTLD_NOLOAD, or Numba does not compile it
            continue
        function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
        return function, address
    return None


def _by_openmp(team: tuple[Any, int], task: Task, parts: Sequence[tuple[int, int]]) -> None:
    """Let threads of the team take parts until none is left. A team of another size would be made anew."""
    left, ended, faults = itertools.count(), list[bool](), list[BaseException]()

    def body(_: Any) -> None:
        try:
            while (part := next(left)) < len(parts):
                task(part, *parts[part])
        except BaseException as fault:  # none may leave the function that C calls
            faults.append(fault)
        ended.append(True)

    run, on_each = team
    function = BODY(body)  # its address by `from_buffer`: `cast` would keep it and all arrays in a circle
    data = np.array([0, len(parts), ctypes.c_void_p.from_buffer(function).value], np.int64)
    run(on_each, data.ctypes.data, 0, 0)
    if faults:
        raise faults[0]
    if len(ended) < min(int(data[0]), len(parts)):
        raise KeyboardInterrupt  # ctypes drops what a signal raises before the first line of `body`


@lru_cache(maxsize=4)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # threads do not survive a fork
    return ThreadPoolExecutor(threads, thread_name_prefix="qweft-circuit")


def _by_pool(task: Task, parts: Sequence[tuple[int, int]]) -> None:
    """Do the parts on the threads of a pool."""
    list(_pool(os.getpid(), torch.get_num_threads()).map(task, range(len(parts)), *zip(*parts, strict=True)))
