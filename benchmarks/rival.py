"""A training step with quantum-adapter, whose circuit generates weights, in turn with LoRA of the same rank.

Each side is a process of its own that makes one step for every line it reads and answers with the seconds:

    python -m benchmarks.rival lora | quantum_adapter
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import NotInstalledError, environment

R = 4


def serve(kind: str) -> None:
    """Say how many parameters are trained, then a step a line."""
    import torch
    from benchmarks.adapted import MODULES, adapted, base, batch

    if kind == "lora":
        model = adapted("lora", R).train()
    else:
        from quantum_adapter import QuantumAdapterConfig, get_quantum_model

        config = QuantumAdapterConfig(target_modules=MODULES, method="amplitude", rank=R, depth=10)
        model = get_quantum_model(base().model, config).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3)
    ids = batch(4, 128)
    print("trained", sum(p.numel() for p in trained), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print("step", time.perf_counter() - start, flush=True)


class Side:
    """One process."""

    def __init__(self, kind: str) -> None:
        command = [str(environment(kind)), "-m", "benchmarks.rival", kind]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        self.trained = int(self.answer("trained"))

    def answer(self, word: str) -> float:
        """The number behind the word; what else the package prints is passed over."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(word + " "):
                return float(line.split()[1])
        raise RuntimeError("the process ended")

    def step(self) -> float:
        """Seconds of one step."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer("step")


def measure(rounds: int) -> dict[str, Any]:
    """The ratio of medians, the first round left out; or why there is none."""
    try:
        sides = {kind: Side(kind) for kind in ("lora", "quantum_adapter")}
        seconds: dict[str, list[float]] = {kind: [] for kind in sides}
        for number in range(rounds + 1):
            for kind, side in sides.items():
                found = side.step()
                if number:
                    seconds[kind].append(found)
    except (NotInstalledError, RuntimeError, OSError) as error:
        return {"left_out": str(error)}
    for side in sides.values():
        side.process.kill()
    typical = {kind: statistics.median(each) for kind, each in seconds.items()}
    return {
        "version": "0.1.1",
        "seconds": typical,
        "vs_lora": typical["quantum_adapter"] / typical["lora"],
        "trained": sides["quantum_adapter"].trained,
    }


if __name__ == "__main__":
    serve(sys.argv[1])
