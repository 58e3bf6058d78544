"""Runs with chosen numbers."""

import math

from qweft.comparison.results import Run
from qweft.comparison.statistics import Pairing
from qweft.comparison.verdicts import Verdict, findings
from qweft.comparison.wording import text_of
from qweft.method.presets import stated

ADAPTERS = {
    "lora": {"peft_type": "LORA", "r": 8},
    "lora_r1": {"peft_type": "LORA", "r": 1},
    "qtha": {"preset": "qtha", "r": 8},
    "qwthn": {"preset": "qwthn", "r": 4},
    "mpo": {"preset": "mpo", "r": 8},
    "mlp_linear": {"preset": "qtha", "core": "mlp_linear", "r": 8},
    "fourier_linear": {"preset": "qtha", "core": "fourier_linear", "r": 8},
    "frozen_linear": {"preset": "qtha", "core": "frozen_linear", "r": 8},
    "product_linear": {"preset": "qtha", "core": "product_linear", "r": 8},
    "bias_linear": {"preset": "qtha", "core": "bias_linear", "r": 8},
    "mlp_weighted": {"preset": "qwthn", "core": "mlp_weighted", "r": 4},
    "dora": {"peft_type": "LORA", "r": 8, "use_dora": True},
}
ADAPTERS = {name: stated(adapter) for name, adapter in ADAPTERS.items()}  # as results hold them
SIZES = {"base": 0, "lora": 1000, "lora_r1": 200, "qtha": 180, "qwthn": 176, "mpo": 170}


def run(method, seed=0, loss=1.0, **changes):
    """One run; everything but the loss has a default."""
    base = method == "base"
    values = {
        "model": "tiny",
        "data": "rows",
        "method": method,
        "seed": seed,
        "trainable_parameters": SIZES.get(method, 500),
        "steps": 0 if base else 4,
        "train_loss": None if base or loss is None else loss + 0.1,
        "train_loss_curve": () if base else ((1, 2.0), (2, 1.5 + seed / 10), (3, 1.2), (4, 1.1)),
        "eval_loss": loss,
        "eval_perplexity": None if loss is None else math.exp(loss),
        "step_seconds_median": None if base else 0.2,
        "peak_memory_bytes": 1024**3,
        "learning_rate": None if base else 0.001,
        "eval_standard_error": 0.01,
        "adapter": ADAPTERS.get(method),
    }
    return Run(**{**values, **changes})


def runs(**losses):
    """Runs of several methods: `runs(lora=[1.0, 1.1], qtha=[0.9, 1.0])`, one loss a seed."""
    return [run(method, seed, loss) for method, found in losses.items() for seed, loss in enumerate(found)]


def verdicts(summary):
    """The sentences of all verdicts."""
    return [text_of(verdict) for verdict in findings(summary)]


def verdict(method, other, direction="not decided", difference=None, interval=None, topic="reference", room=None):
    """A verdict with chosen numbers; `room` is what its interval leaves, in percent."""
    if room is not None and direction in ("lower", "higher"):
        interval = (-room, -room - 1) if direction == "lower" else (room, room + 1)
    margins = (room, None, 0.0) if direction == "equivalent" else (None, None, None)
    pairing = Pairing((), (), difference, None, interval, None, 0, None, None, None, direction, "", *margins)
    return Verdict(topic, method, other, direction, pairing)
