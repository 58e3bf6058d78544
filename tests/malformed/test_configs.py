"""Config files that are malformed: one sentence comes of each, or a config that holds what its fields say."""

import contextlib
import math

import yaml

from qweft.cli.compare import COMMAND as COMPARE
from qweft.cli.parser import parse
from qweft.cli.sweep import COMMAND as SWEEP
from qweft.cli.train import COMMAND as TRAIN
from qweft.cli.tune import COMMAND as TUNE
from qweft.comparison.checks import check_comparison
from qweft.comparison.config import ComparisonConfig
from qweft.evaluation.checks import check_evaluation
from qweft.sweep.config import SweepConfig
from qweft.sweep.space import check_sweep
from qweft.training.checks import check_run
from qweft.training.config import RunConfig
from tests.malformed.cases import cases, check_typed, outcome
from tests.malformed.mutations import mutated, mutated_bytes, with_other_numbers

ADAPTER = {"preset": "qtha", "r": 2, "circuit_layers": 1, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj"]}
LORA = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
DATA = {"source": "rows.jsonl", "train_rows": 8, "validation_rows": 4, "test_rows": 4, "max_length": 64,
        "overlong": "drop", "split_seed": 1}  # fmt: skip
TRAINING = {
    "max_steps": 2, "batch_size": 2, "gradient_accumulation": 1, "learning_rate": 1e-2, "warmup_ratio": 0.5,
    "weight_decay": 0.1, "max_gradient_norm": 1.0, "seed": 0, "packing": False, "epochs": 1.0, "logging_steps": 1,
    "learning_rates": {"circuit": 1e-3},
}  # fmt: skip
SHARED = {"model": {"name": "model", "dtype": "float32"}, "data": DATA, "training": TRAINING,
          "evaluation": {"batch_size": 2, "answers": 1, "max_new_tokens": 4}}  # fmt: skip
CONFIGS = {
    "train": {**SHARED, "adapter": ADAPTER, "checkpoints": {"every": 1, "newest": 2},
              "validation": {"every": 1, "patience": 2}, "output": "out", "resume": "no"},
    "compare": {**SHARED, "reference": "lora", "seeds": [0, 1], "methods": {
        "lora": {"adapter": LORA, "learning_rate": 1e-3},
        "qtha": {"adapter": ADAPTER, "rate_of": "lora"},
        "small": {"adapter": {k: v for k, v in LORA.items() if k != "r"}, "match_parameters": "qtha"},
    }, "search": True, "rates": [1e-3, 1e-2], "search_steps": 1, "search_seeds": 1, "output": "out"},
    "sweep": {**SHARED, "adapter": {k: v for k, v in ADAPTER.items() if k != "r"}, "trials": 2, "sampler": "tpe",
              "space": {"adapter": {"r": {"values": [2, 3]}, "width": {"low": 4, "high": 8, "step": 2}},
                        "training": {"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}}},
              "max_parameters": 100000, "seconds": 60.0, "at_once": 2, "seed": 0, "output": "out"},
}  # fmt: skip
CONFIGS["tune"] = CONFIGS["compare"]
READ = {
    "train": (RunConfig, TRAIN), "compare": (ComparisonConfig, COMPARE), "tune": (ComparisonConfig, TUNE),
    "sweep": (SweepConfig, SWEEP),
}  # fmt: skip
ODD_TEXT = (
    "?", "- ", ": ", "!!python/object:os.system x", "&a *a", "*b", "<<: *c", "\t", "%", "@", "`", "|", ">",
    "!!binary x",
    "2026-01-01", "0x1F", "1_000", ".inf", ".nan", "~", "yes", "off", "1:30", "[", "{", "'", '"', "#", "---\n", "...\n",
)  # fmt: skip
"""What means something in YAML."""


def text_of(config, draw):
    """A config as YAML that is perhaps none."""
    text = yaml.safe_dump(
        config, sort_keys=False, allow_unicode=True, default_flow_style=draw.choice((None, True, False))
    )
    if draw.random() < 0.3:
        place = draw.randrange(len(text) + 1)
        text = text[:place] + draw.choice(ODD_TEXT) + text[place:]
    content = text.encode("utf-8", "surrogatepass")
    return mutated_bytes(content, draw) if draw.random() < 0.3 else content


def malformed(verb, draw, **known):
    """The bytes of a config file; what YAML's writer cannot write is drawn anew."""
    config = {**CONFIGS[verb], **known}
    if draw.random() < 0.4:
        return yaml.safe_dump(with_other_numbers(config, draw)).encode()
    while True:
        with contextlib.suppress(yaml.YAMLError):
            return text_of(mutated(config, draw) if draw.random() < 0.8 else config, draw)


def check(verb, path):
    """What a command does before anything is loaded."""
    config = parse(READ[verb][0], [str(path)], READ[verb][1])
    if verb == "train":
        check_run(config)
        check_evaluation(config.evaluation, config.data)
    elif verb == "sweep":
        check_sweep(config)
    else:
        check_comparison(config)
        assert not any(math.isnan(rate) for rate in config.rates)
    for section in (config.training, config.evaluation, config.data, config.model):
        check_typed(section)
    return config


def check_sane(config):
    """See that no number that decides on a training is without meaning."""
    training = config.training
    assert training.batch_size >= 1 and training.gradient_accumulation >= 1 and training.weight_decay >= 0
    assert 0 < training.learning_rate < math.inf and all(rate >= 0 for rate in training.learning_rates.values())
    assert isinstance(training.seed, int) and (training.max_steps is None or training.max_steps >= 1)


def test_mutated_config_files(tmp_path):
    path = tmp_path / "config.yaml"
    for number, draw in cases("configs"):
        verb = draw.choice(sorted(CONFIGS))
        content = malformed(verb, draw)
        path.write_bytes(content)
        config = outcome(f"{verb} {number}:\n{content.decode('utf-8', 'replace')}", check, verb, path)
        if config is not None:
            check_sane(config)
