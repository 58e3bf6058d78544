"""Saving and sharing of adapters, and the section of the model card that describes them."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft.utils import SAFETENSORS_WEIGHTS_NAME

from qweft.adapter.config import QwthnConfig
from qweft.adapter.cores import Core
from qweft.adapter.functions import FUNCTIONS
from qweft.adapter.loading import read_header
from qweft.adapter.maps import MAPS, PLAIN, LinearMap
from qweft.files import write_bytes
from qweft.method.names import TWINS, formula, function_of, has_circuit
from qweft.method.resolved import RECORDED
from qweft.text import escaped

HEADING = "## QWTHN adapter"
START, END = "<!-- from qweft -->", "<!-- so far from qweft -->"
"""Markers around the text that a later save replaces."""
LOADING = """```python
import qweft  # has to be installed; makes the method known to PEFT
from peft import PeftModel

model = PeftModel.from_pretrained(base_model, "this folder or repository")
```

Without `import qweft` PEFT says `KeyError: 'QWTHN'`."""
METHOD = " The method is arXiv 2503.12790's, as qweft reads it."


def method_section(config: QwthnConfig, shapes: dict[str, tuple[int, ...]]) -> str:
    """Return the section of the model card, as Markdown: what the adapter computes, its parameters, how to load it."""
    counts = count_by_part(config, shapes)
    fixed = counts.pop("fixed")
    parts = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    at, function = config.resolved(), function_of(config.core)
    maps = MAPS[config.compress], MAPS[config.expand]
    circuit = "" if function is None else f" {_function(config, function)}"
    method = METHOD if function or any(kind.has_network() for kind in maps) else ""
    sizes = dict[str, str]()
    for kind in sorted(maps, key=lambda kind: not kind.has_network()):  # a field that both read, as for the network
        for name, words in kind.sizes.items():
            sizes.setdefault(name, f", {words.format(getattr(config, name))}")
    patterns = {"ranks": config.rank_pattern, "alphas": config.alpha_pattern}
    differing = "".join(f"; {name} that differ: {escaped(str(each))}" for name, each in patterns.items() if each)
    packed = ", directions packed, counted in bytes" if config.has_fixed_map and at.basis_bits < PLAIN else ""
    untrained = f"\n- not trained, and in the file: {fixed:,} numbers{packed}" if fixed else ""
    layers = {match[1] for key in shapes if (match := re.match(r"(.+)\.qwthn_", key))}
    names = sorted({name.rpartition(".")[2] for name in layers})
    return f"""{HEADING}

Beside each adapted layer W0: c = C x, {formula(config.core)}, y = W0 x + ({at.alpha:g} / {config.r}) E h. C is
{maps[0].words}, E {maps[1].words}.{circuit}{method}

- rank r = {config.r}{"".join(sizes.values())}{differing}
- layers: {", ".join(names)} ({len(layers)} in all)
- parameters: {sum(counts.values()):,} ({parts}){untrained}

{LOADING}
"""


def _function(config: QwthnConfig, function: str) -> str:
    """Return the card's sentence on a circuit, or on the control in its place."""
    at = config.resolved()
    if function in TWINS:
        return f"t stands in the place of the method's circuit, as a control: {FUNCTIONS[function].words}."
    if config.circuit != RECORDED:
        return f"q is what a simulated circuit of {at.ansatz.qubits} qubits measures, exactly."
    return (
        f"q is the exact expectation of Z on each of {at.qubits} qubits of a simulated circuit of {at.circuit_layers} "
        f"layers, its input uploaded {'before every layer' if config.reupload else 'once'}."
    )


def count_by_part(config: QwthnConfig, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Count the numbers of a file's tensors by part; "fixed" ones are not trained, as directions and frozen angles."""
    function = function_of(config.core)
    fixed = {"core": FUNCTIONS[function].fixed_tensors if function else ()}
    kinds: dict[str, type[LinearMap | Core]] = {"core": Core}
    for side, kind in (("compress", MAPS[config.compress]), ("expand", MAPS[config.expand])):
        fixed[side], kinds[side] = kind.fixed_tensors, kind
    counts = {"tensor network": 0, "linear maps": 0, "circuit": 0, "twin": 0, "of the base model": 0, "fixed": 0}
    names = {"tensor_network": "tensor network", "linear": "linear maps"}
    names["circuit"] = "circuit" if has_circuit(config.core) else "twin"
    for key, shape in shapes.items():
        match = re.search(r"\.qwthn_(compress|core|expand)\.(.+)$", key)
        if match is None:  # heads, embeddings and biases
            part = "of the base model"
        else:
            part = "fixed" if match[2] in fixed[match[1]] else names[kinds[match[1]].part_of(match[2])]
        counts[part] += math.prod(shape)
    return counts


def describe_in_card(root: Path, configs: Mapping[str, QwthnConfig]) -> None:
    """Describe the adapters saved in a folder in PEFT's README.md, replacing an earlier description."""
    card, sections = root / "README.md", []
    for name, config in configs.items():
        file = (root if name == "default" else root / name) / SAFETENSORS_WEIGHTS_NAME
        if file.is_file():  # others were not saved this time, or by another process
            shapes = {key: tuple(each.shape) for key, each in read_header(file).items()}
            heading = HEADING if name == "default" else f"{HEADING} {name!r}"
            sections.append(method_section(config, shapes).replace(HEADING, heading, 1))
    if not sections or not card.is_file():
        return
    block = START + "\n\n" + "\n".join(sections) + END
    text = card.read_text(encoding="utf-8")
    if START in text and END in text:
        text = text.split(START, 1)[0] + block + text.split(END, 1)[1]
    else:  # after the front matter, before the part of PEFT's template that is left to fill in
        front = re.match(r"---\n.*?\n---\n", text, re.DOTALL)
        at = front.end() if front else 0
        text = f"{text[:at]}\n{block}\n\n{text[at:].lstrip()}"
    write_bytes(card, text.encode())


def _qwthn_configs(model: Any) -> dict[str, QwthnConfig]:
    configs = getattr(model, "peft_config", None)
    found = configs.items() if isinstance(configs, dict) else ()
    return {name: config for name, config in found if isinstance(config, QwthnConfig)}


def peft_save_pretrained(original: Any) -> Any:
    """Also save safetensors, which loading reads, if a pickle was requested, and describe the adapters in the card."""

    def save_pretrained(self: Any, save_directory: str, safe_serialization: bool = True, *args: Any, **kw: Any) -> None:
        configs = _qwthn_configs(self)
        if not safe_serialization:
            original(self, save_directory, False, *args, **kw)
        if safe_serialization or configs:
            original(self, save_directory, True, *args, **kw)
        describe_in_card(Path(save_directory), configs)

    return save_pretrained


def private_by_default(original: Any) -> Any:
    """Make a new repository on the hub a private one, unless the caller says otherwise."""

    def save_or_push(self: Any, *args: Any, **kw: Any) -> Any:
        pushes = original.__name__ == "push_to_hub" or kw.get("push_to_hub")
        if pushes and kw.get("private") is None and _qwthn_configs(self):
            kw["private"] = True
        return original(self, *args, **kw)

    return save_or_push
