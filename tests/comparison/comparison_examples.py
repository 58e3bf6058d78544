"""Runs with chosen numbers, and comparisons on a tiny model."""

import json
import math
from dataclasses import replace

from qweft.comparison import runner
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.comparison.judge.statistics import DifferenceTest, EquivalenceTest, PairedComparison, PairedLosses
from qweft.comparison.judge.verdicts import Verdict, answer_questions
from qweft.comparison.report.wording import text_of
from qweft.comparison.results import Run
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.method.presets import stated
from qweft.models.config import ModelConfig
from qweft.training.config import TrainingConfig

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
    return [text_of(verdict) for verdict in answer_questions(summary)]


def verdict(method, other, direction="not decided", difference=None, interval=None, topic="reference", room=None):
    """A verdict with chosen numbers; `room` is what its interval leaves, in percent."""
    if room is not None and direction in ("lower", "higher"):
        interval = (-room - 1, -room) if direction == "lower" else (room, room + 1)
    test = equivalence = None
    if interval is not None:
        test = DifferenceTest(interval, 0.01, 0.01, None, 0, "p is above 0.05" if direction == "not decided" else "")
    if direction == "equivalent":
        equivalence = EquivalenceTest(room or 0.0, 0.01, 0.01, 0.05, farthest=0.0)
    if difference is None:
        difference = {"lower": -1.0, "higher": 1.0}.get(direction, 0.0)
    paired = PairedLosses((0,), (1 + difference / 100,), (1.0,))
    pairing = PairedComparison(paired, difference=test, equivalence=equivalence)
    return Verdict(topic, method, other, direction, pairing)


LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj", "v_proj"]}


def comparison(places, folder, **changes):
    """A comparison on a tiny model, with some keys changed: methods and sections are dicts."""
    methods = changes.pop("methods", {"lora": LORA})
    sections = {
        "model": ModelConfig(name=places[0]),
        "data": DataConfig(source=places[1], validation_rows=4, test_rows=4, max_length=48),
        "training": TrainingConfig(max_steps=4, batch_size=2, gradient_accumulation=1),
        "evaluation": EvaluationConfig(answers=0),
    }
    return ComparisonConfig(
        methods={
            name: each if isinstance(each, MethodConfig) else MethodConfig(each) for name, each in methods.items()
        },
        **{name: replace(section, **changes.pop(name, {})) for name, section in sections.items()},
        **{"seeds": [0, 1, 2], "output": str(folder / "out"), **changes},
    )


def results(config):
    """Run a comparison; the content of results.json."""
    path = runner.compare(config, "methods: {}\n", "qweft compare test.yaml")
    return json.loads(path.with_name("results.json").read_text())
