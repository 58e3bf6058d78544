"""The comparison that a data file alone stands for: `qweft compare my.csv`, and `qweft init`, which writes it down."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from qweft.comparison.config import ComparisonConfig
from qweft.comparison.timing import budget_of
from qweft.core import yaml_file
from qweft.core.errors import QweftError
from qweft.core.files import read_bytes
from qweft.core.schema import field_texts
from qweft.core.text import strip_controls
from qweft.exporting.config import check_gguf_type
from qweft.method.presets import PRESETS
from qweft.method.shipping import why_no_lora, why_not_merged
from qweft.models.config import ModelConfig
from qweft.models.find import find_model
from qweft.models.quantization import quantization_in

Preset = Literal["quick", "thorough"]

CONFIG_ENDINGS = (".yaml", ".yml")
WIDTH = 576
"""Hidden size of SmolLM2-135M, whose best learning rates the candidates start from."""
FALL = 1.6
"""Power by which the best rate falls with the hidden size: LoRA's was found to be 0.006 at 576, 0.002 at 896."""
MOST_BYTES = 2**20
"""Largest config.json that is read."""
SHIPPING = {"lora": why_no_lora, "gguf": why_not_merged, "merged": why_not_merged}
"""Why an adapter does not ship so; a merged model goes into GGUF as well as a LoRA does."""


@dataclass(frozen=True)
class CompareOptions(ComparisonConfig):
    """The options of `qweft compare` and `qweft init`: a comparison's, and those for data in the place of a config.

    Args:
        preset: Which methods a data file is compared with: quick has 8 and a budget of 20min, thorough 13 and 2h. A
            config states its own methods.
    """

    preset: Preset | None = None


LORA = {"peft_type": "LORA"}
ALL = {"target_modules": "all-linear"}

Candidate = tuple[dict[str, Any], float]
"""An adapter, and the rate where its search begins on a model of `WIDTH`."""

QUICK: dict[str, Candidate] = {
    "lora": ({**LORA, "r": 8}, 4e-3),  # on PEFT's default layers, as most people use it
    "lora_all": ({**LORA, "r": 8, **ALL}, 4e-3),
    "sparse": ({"preset": "sparse", **ALL}, 8e-3),  # the best of this package's, without a circuit
    "qtha": ({"preset": "qtha"}, PRESETS["qtha"].rate),
    "mpo": ({"preset": "mpo"}, PRESETS["mpo"].rate),  # what the circuit of qtha has to beat
    "lora_all_1": ({**LORA, "r": 1, **ALL}, 8e-3),
    "lora_1": ({**LORA, "r": 1}, 8e-3),
    "ia3": ({"peft_type": "IA3"}, 3e-2),  # the smallest that learns
}
"""The most wanted first: where time is short, the last ones are left out."""
THOROUGH: dict[str, Candidate] = {
    **QUICK,
    "perceptron": ({"preset": "qtha", "core": "mlp_linear"}, PRESETS["qtha"].rate),
    "lora_down": ({**LORA, "r": 8, "target_modules": ["down_proj"]}, 4e-3),  # on the layer that reads most
    "dora": ({**LORA, "use_dora": True, "r": 8, **ALL}, 4e-3),
    "lokr": ({"peft_type": "LOKR", "r": 8}, 1e-2),  # a fifth of LoRA's size
    "subspace": ({"preset": "subspace", **ALL}, 1.6e-2),
}
CANDIDATES = {"quick": QUICK, "thorough": THOROUGH}
TIMES = {"quick": "20min", "thorough": "2h"}


def candidates_of(preset: Preset, names: Sequence[str] | None = None) -> Mapping[str, Candidate]:
    """Return the candidates of a preset, or those that are named: of any preset, or a preset of the method."""
    if names is None:
        return CANDIDATES[preset]
    own = {name: ({"preset": name}, entry.rate) for name, entry in PRESETS.items()}
    known = {**own, **THOROUGH}
    if unknown := [name for name in names if name not in known]:
        raise QweftError(f"--methods {unknown[0]}: there are {', '.join(sorted(known))}; a config may name others")
    return {name: known[name] for name in names}


def is_config(target: str) -> bool:
    """Whether a target of `qweft compare` is a config: its name ends in .yaml or .yml. Anything else is data."""
    return target.lower().endswith(CONFIG_ENDINGS)


def short_name(source: str) -> str:
    """Return a name for files made from a data source: "my" for "rows/my.csv", "set" for "owner/set@test"."""
    last = Path(source.partition("@")[0].rstrip("/\\")).name.rpartition(":")[2]
    stem = last.partition(".")[0] if last.partition(".")[0] else last.strip(".")
    return re.sub(r"[^\w-]+", "-", strip_controls(stem)).strip("-")[:60] or "data"


def starter(
    source: str,
    model: ModelConfig,
    preset: Preset = "quick",
    budget: str | None = None,
    output: str | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return the comparison for a data source, as the tree of a config file; `names` are the methods, if any."""
    candidates = candidates_of(preset, names)
    limits = budget_of(budget)
    if limits.seconds is None:
        budget = ",".join(filter(None, (TIMES[preset], budget)))
    thorough, known = preset == "thorough", config_of_model(model)
    fall = min(1.0, (WIDTH / width_of(known)) ** FALL)

    def scaled(rate: float) -> float:
        return float(f"{rate * fall:.2g}")

    return {
        "model": {"name": model.name, **({} if model.source == "auto" else {"source": model.source})},
        "data": {"source": source, "max_length": 512},
        "training": {"epochs": 3.0, "batch_size": 4, "gradient_accumulation": 1, "learning_rate": scaled(4e-3)},
        "evaluation": {"answers": 1, "max_new_tokens": 48},
        "methods": {
            name: {"adapter": adapter, "search_from": scaled(candidates[name][1])}
            for name, adapter in adapters_on(model, known, candidates).items()
        },
        "reference": "lora" if "lora" in candidates else next(iter(candidates)),
        "seeds": [0, 1, 2],
        "equivalent_within": 1.0,
        "search": True,
        "search_seeds": 2 if thorough else 1,
        "search_rates": 6 if thorough else 5,
        "halving": {"finalists": 4 if thorough else 3},
        "recommend": True,
        "budget": budget,
        "output": output or f"runs/{short_name(source)}",
    }


def commented(tree: Mapping[str, Any]) -> str:
    """Return the YAML of a comparison with a comment before each key: what the key's documentation says."""
    lines = ["# Which adapter for this data and this model? docs/comparison.md explains every key."]
    texts = field_texts(ComparisonConfig)
    for key, value in tree.items():
        lines += [f"# {texts[key].partition('. ')[0].removesuffix('.')}.", yaml_file.dump({key: value}).rstrip()]
    return "\n".join(lines) + "\n"


def adapters_on(
    model: ModelConfig, known: Mapping[str, Any], candidates: Mapping[str, Candidate]
) -> dict[str, dict[str, Any]]:
    """Return the adapters of the candidates that go with a base model, by its quantization and by its type.

    Where PEFT has no default layers for the type, they are on all linear layers, and one like another is left out.
    """
    from qweft.comparison.checks import check_on_shared  # here, as it imports NumPy, and --help needs none of it

    quantization = model.quantization or quantization_in(known.get("quantization_config") or {})
    kind, found = known.get("model_type"), dict[str, dict[str, Any]]()
    for name, (adapter, _) in candidates.items():
        if "target_modules" not in adapter and not _has_defaults(kind, "LORA"):
            adapter = {**adapter, **ALL}
        with suppress(QweftError):
            check_on_shared(adapter, quantization)
            if adapter not in found.values() and (name != "ia3" or _has_defaults(kind, "IA3")):
                found[name] = adapter
    return found


def _has_defaults(kind: str | None, method: str) -> bool:
    """Whether PEFT has default layers of a method for a type of model; true where the type is not known."""
    if kind is None:
        return True
    from peft.utils import constants  # here, as it imports PyTorch

    return kind in getattr(constants, f"TRANSFORMERS_MODELS_TO_{method}_TARGET_MODULES_MAPPING")


def that_ship(config: ComparisonConfig, tell: Callable[[str], object]) -> ComparisonConfig:
    """Return a comparison without the methods that do not leave Python as `must_ship` asks, each of which is told."""
    if config.must_ship is None:
        return config
    kind = config_of_model(config.model).get("model_type")
    if config.must_ship == "gguf" and kind is not None:
        check_gguf_type(kind)
    reasons = {name: SHIPPING[config.must_ship](method.adapter) for name, method in config.methods.items()}
    for name, reason in reasons.items():
        if reason:
            tell(f"left out, as it does not ship as {config.must_ship}: {name}, since {reason}")
    if reasons.get(config.reference):
        raise QweftError(f"reference {config.reference} does not ship as {config.must_ship}; name another reference")
    return replace(config, methods={name: each for name, each in config.methods.items() if not reasons[name]})


def width_of(known: Mapping[str, Any]) -> int:
    """Return the hidden size in a config.json; `WIDTH` if that has none."""
    sizes = known.get("text_config") or known
    return next((int(sizes[name]) for name in ("hidden_size", "n_embd", "d_model") if sizes.get(name)), WIDTH)


def config_of_model(model: ModelConfig) -> dict[str, Any]:
    """Return a base model's config.json, without PyTorch; nothing of an embedded one, or one that cannot be had."""
    with suppress(Exception):  # whatever is wrong with the model is said where it is loaded
        found = find_model(model)
        if found.package is None:
            from huggingface_hub import hf_hub_download  # here: its import takes longer than all else

            local = Path(found.location) / "config.json" if found.local else None
            text = read_bytes(local or Path(hf_hub_download(found.location, "config.json")), MOST_BYTES)
            return dict(json.loads(text))
    return {}
