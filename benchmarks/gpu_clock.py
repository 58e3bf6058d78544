"""Times on a device, in rounds: every subject once a round, and ratios of the same round."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

ROUNDS, WARM = 9, 2
"""Rounds that are kept, and rounds before them."""


class Clock:
    """Times calls on a device: by CUDA's events, or by the wall clock on a CPU.

    Args:
        device: The device.
        rounds: Most rounds that are kept.
    """

    def __init__(self, device: Any, rounds: int = ROUNDS) -> None:
        self.device, self.rounds = device, rounds

    def seconds(self, call: Callable[[], Any], repeats: int = 1) -> float:
        """Return the seconds of a call, the mean of so many in a row."""
        import torch

        if self.device.type != "cuda":
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            return (time.perf_counter() - start) / repeats
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(self.device)
        begin.record()
        for _ in range(repeats):
            call()
        end.record()
        torch.cuda.synchronize(self.device)
        return float(begin.elapsed_time(end)) / 1e3 / repeats

    def peak_bytes(self, call: Callable[[], Any]) -> int | None:
        """Return how far the allocated memory of a GPU rises while a call runs; `None` on a CPU."""
        import torch

        if self.device.type != "cuda":
            return None
        torch.cuda.synchronize(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        call()
        torch.cuda.synchronize(self.device)
        return int(torch.cuda.max_memory_allocated(self.device) - before)

    def alternate(
        self, subjects: Mapping[str, Callable[[], Any]], until: float, repeats: int = 1
    ) -> dict[str, list[float]]:
        """Return the seconds of each subject in each whole round, without the first ones; it stops at a time.

        Args:
            subjects: Calls by name, every one once a round.
            until: Time of `time.monotonic` after which no round is begun.
            repeats: Calls in a row that one time is the mean of.
        """
        found: dict[str, list[float]] = {name: [] for name in subjects}
        for number in range(WARM + self.rounds):
            if number > WARM and time.monotonic() > until:
                break
            gc.collect()
            for name, subject in subjects.items():
                seconds = self.seconds(subject, repeats)
                if number >= WARM:
                    found[name].append(seconds)
        return found


def against(seconds: Mapping[str, list[float]], reference: str) -> dict[str, dict[str, Any]]:
    """Return each subject's median, and the median and quartiles of its ratios to the reference of the same round."""
    results = {}
    for name, each in seconds.items():
        ratios = [own / other for own, other in zip(each, seconds[reference], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 2 else (min(ratios), 0.0, max(ratios))
        results[name] = {
            "seconds": statistics.median(each),
            "ratio": statistics.median(ratios),
            "quartiles": [low, high],
            "rounds": len(each),
        }
    return results
