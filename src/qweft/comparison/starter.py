"""The comparison that a data file alone stands for: `qweft compare my.csv`, and `qweft init`, which writes it down."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from qweft import yaml_file
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.timing import budget_of
from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.exporting.config import check_gguf_type
from qweft.files import read_bytes
from qweft.method.presets import PRESETS
from qweft.method.shipping import why_no_lora, why_not_merged
from qweft.models.config import ModelConfig
from qweft.models.quantization import scheme_of
from qweft.models.resolve import find
from qweft.schema import texts_of
from qweft.text import plain

Preset = Literal["quick", "thorough"]

CONFIG_ENDINGS = (".yaml", ".yml")
WIDTH = 576
"""Hidden size of SmolLM2-135M, whose best learning rates the candidates start from."""
FALL = 1.6
"""Power by which the best rate falls with the hidden size: LoRA's was found to be 0.006 at 576, 0.002 at 896."""
EMBEDDED_SIZES = {"smollm2-135m-instruct": 576, "qwen2.5-coder-0.5b-instruct": 896}
"""Hidden sizes of the embedded models."""
MOST_BYTES = 2**20
"""Largest config.json that is read."""
SHIPPING = {"lora": why_no_lora, "gguf": why_not_merged, "merged": why_not_merged}
"""Why an adapter does not ship so; a merged model goes into GGUF as well as a LoRA does."""


@dataclass(frozen=True)
class CompareOptions(ComparisonConfig):
    """The options of `qweft compare`: a comparison's, and those for a data file in the place of a config.

    Args:
        preset: Which methods a data file is compared with: quick has 8 and a budget of 20min, thorough 13 and 2h. A
            config states its own methods.
    """

    preset: Preset | None = None


@dataclass(frozen=True)
class InitOptions:
    """The options of `qweft init`.

    Args:
        model: The base model, as model.name.
        budget: Most time and most trained parameters: 20min, 2h, "200k parameters", "20min,200k". `None` means 20min
            with quick, 2h with thorough.
        preset: Which methods are compared: quick has 8, thorough 13.
        output: The config that is written; `None` means the data's name with .yaml, in this folder.
        data: The data; `source` comes from the argument.
    """

    model: str | None = None
    budget: str | None = None
    preset: Preset = "quick"
    output: str | None = None
    data: DataConfig = field(default_factory=DataConfig)


LORA = {"peft_type": "LORA"}
ALL = {"target_modules": "all-linear"}

Candidate = tuple[dict[str, Any], float, str]
"""An adapter, the rate where its search begins on a model of `WIDTH`, and a comment."""

QUICK: dict[str, Candidate] = {
    "lora": ({**LORA, "r": 8}, 4e-3, "LoRA on PEFT's default layers, as most people use it"),
    "lora_all": ({**LORA, "r": 8, **ALL}, 4e-3, "on all linear layers"),
    "sparse": ({"preset": "sparse", **ALL}, 8e-3, "the best of this package's, without a circuit"),
    "qtha": ({"preset": "qtha"}, 7e-4, "a quantum circuit between tensor networks"),
    "mpo": ({"preset": "mpo"}, 6e-4, "the same without the circuit: what the circuit has to beat"),
    "lora_all_1": ({**LORA, "r": 1, **ALL}, 8e-3, "the smallest LoRA on all linear layers"),
    "lora_1": ({**LORA, "r": 1}, 8e-3, "the smallest LoRA on the default layers"),
    "ia3": ({"peft_type": "IA3"}, 3e-2, "factors on k, v and what goes into down: the smallest that learns"),
}
"""The most wanted first: where time is short, the last ones are left out."""
THOROUGH: dict[str, Candidate] = {
    **QUICK,
    "perceptron": ({"preset": "qtha", "core": "mlp_linear"}, 7e-4, "a perceptron in the circuit's place"),
    "lora_down": ({**LORA, "r": 8, "target_modules": ["down_proj"]}, 4e-3, "on the layer that reads most"),
    "dora": ({**LORA, "use_dora": True, "r": 8, **ALL}, 4e-3, "LoRA with trained lengths"),
    "lokr": ({"peft_type": "LOKR", "r": 8}, 1e-2, "Kronecker products, a fifth of LoRA's size"),
    "subspace": ({"preset": "subspace", **ALL}, 1.6e-2, "LoRA between the gradient's directions"),
}
PROJECTIONS = (
    ("q_proj", "v_proj"), ("qkv_proj",), ("query_key_value",), ("Wqkv",), ("c_attn",), ("query", "value"), ("q", "v"),
)  # fmt: skip
"""Names of the projections of the attention, as models have them; of queries and values where they stand apart."""
MAMBA = ("falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h")
UNFIT = ("out_proj", "conv1d", "dt_proj", "lm_head")
"""Layers of these models that PEFT refuses, whose weight is read without a call, or that give the logits."""
CANDIDATES = {"quick": QUICK, "thorough": THOROUGH}
TIMES = {"quick": "20min", "thorough": "2h"}


def candidates_of(preset: Preset, names: Sequence[str] | None = None) -> Mapping[str, Candidate]:
    """Return the candidates of a preset, or those that are named: of any preset, or a preset of the method."""
    if names is None:
        return CANDIDATES[preset]
    own = {name: ({"preset": name}, each.rates["recorded"], "") for name, each in PRESETS.items()}
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
    return re.sub(r"[^\w-]+", "-", plain(stem)).strip("-")[:60] or "data"


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
    thorough, width = preset == "thorough", hidden_size(model)
    unfit, layers = unfit_of(model, candidates), layers_of(model)

    def placed(adapter: dict[str, Any]) -> dict[str, Any]:
        targets = adapter.get("target_modules")
        own = None if isinstance(targets, list) else layers.get(targets)
        return adapter if own is None else {**adapter, "target_modules": own}

    def scaled(rate: float) -> float:
        return float(f"{rate * (1.0 if width is None else min(1.0, (WIDTH / width) ** FALL)):.2g}")

    return {
        "model": {"name": model.name, **({} if model.source == "auto" else {"source": model.source})},
        "data": {"source": source, "max_length": 512},
        "training": {"epochs": 3.0, "batch_size": 4, "gradient_accumulation": 1, "learning_rate": scaled(4e-3)},
        "evaluation": {"answers": 1, "max_new_tokens": 48},
        "methods": {
            name: {"adapter": placed(adapter), "search_from": scaled(rate)}
            for name, (adapter, rate, _) in candidates.items()
            if name not in unfit
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


def commented(tree: Mapping[str, Any], command: str) -> str:
    """Return the YAML of a comparison with a comment before each key and method: what the key's documentation says."""
    plain_command = " ".join(plain(command).split())
    lines = ["# Which adapter for this data and this model?", "#", f"#     {plain_command}", "#"]
    lines.append("# docs/comparison.md explains every key.")
    texts = texts_of(ComparisonConfig)
    for key, value in tree.items():
        lines.append(f"# {texts[key].partition('. ')[0].removesuffix('.')}.")
        if key != "methods":
            lines.append(yaml_file.dump({key: value}).rstrip())
            continue
        lines.append("methods:")
        for name, method in value.items():
            comment = f" # {THOROUGH[name][2]}" if name in THOROUGH else ""
            lines.append(f"  {yaml_file.dump({name: None}).partition(': null')[0]}:{comment}")
            for part, inner in method.items():
                text = yaml_file.dump(inner, flow=True).partition("\n...")[0].strip()
                lines.append(f"    {part}: {text}")
    return "\n".join(lines) + "\n"


def layers_of(model: ModelConfig) -> dict[str | None, list[str] | str]:
    """Return layers for candidates that name none (`None`) and for "all-linear", where these do not serve a model."""
    kind = config_of_model(model).get("model_type")
    is_mamba, has_defaults = kind in MAMBA, _has_defaults(kind, "LORA")
    if has_defaults and not is_mamba:
        return {}
    from qweft.adapter.attach import linear_names  # here: these import PyTorch
    from qweft.models.load import load_model

    names = linear_names(load_model(replace(model, device="meta")).model)
    whole: list[str] | str = [name for name in names if name not in UNFIT] if is_mamba else "all-linear"
    some = next(([*wanted] for wanted in PROJECTIONS if {*wanted} <= {*names}), whole)
    return {"all-linear": whole, **({} if has_defaults else {None: some})}


def _has_defaults(kind: str | None, method: str) -> bool:
    """Whether PEFT has default layers of a method for a type of model; true where the type is not known."""
    if kind is None:
        return True
    from peft.utils import constants  # here, as it imports PyTorch

    return kind in getattr(constants, f"TRANSFORMERS_MODELS_TO_{method}_TARGET_MODULES_MAPPING")


def unfit_of(model: ModelConfig, candidates: Mapping[str, Candidate]) -> list[str]:
    """Return the names of the candidates that do not go with a base model: how it is quantised, or its type."""
    from qweft.comparison.checks import check_on_shared  # here, as it imports NumPy, and --help needs none of it

    config = config_of_model(model)
    quantization = model.quantization or scheme_of(config.get("quantization_config") or {})
    unfit = ["ia3"] if "ia3" in candidates and not _has_defaults(config.get("model_type"), "IA3") else []
    for name, (adapter, _, _) in candidates.items():
        try:
            check_on_shared(adapter, quantization)
        except QweftError:
            unfit.append(name)
    return list(dict.fromkeys(unfit))


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


def hidden_size(model: ModelConfig) -> int | None:
    """Return a base model's hidden size by its config.json, without PyTorch; `None` if that cannot be had."""
    config = config_of_model(model)
    config = config.get("text_config") or config
    size = next((config[name] for name in ("hidden_size", "n_embd", "d_model") if name in config), None)
    return size if isinstance(size, int) and size >= 1 else None


def config_of_model(model: ModelConfig) -> dict[str, Any]:
    """Return a base model's config.json; of an embedded model its size, and nothing of one that cannot be had."""
    with suppress(Exception):  # whatever is wrong with the model is said where it is loaded
        found = find(model)
        if found.package:
            return {"hidden_size": EMBEDDED_SIZES[found.package.alias]}
        from huggingface_hub import hf_hub_download  # here: its import takes longer than all else

        local = Path(found.location) / "config.json" if found.local else None
        return dict(json.loads(read_bytes(local or Path(hf_hub_download(found.location, "config.json")), MOST_BYTES)))
    return {}
