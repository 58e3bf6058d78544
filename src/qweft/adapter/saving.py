"""The section of the model card that describes an adapter."""

import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qweft.adapter.functions import FUNCTIONS, Function
from qweft.adapter.maps import MAPS, PLAIN
from qweft.core.files import write_bytes
from qweft.core.text import escape_markdown
from qweft.method.fields import QwthnFields
from qweft.method.names import TWINS, formula, function_of, unread
from qweft.method.saved import WEIGHTS, shapes_in

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
SIZES = ("width", "bond_dimension", "share", "basis_bits")


def method_section(config: QwthnFields, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return the section of the model card, as Markdown: what the adapter computes, its parameters, how to load it."""
    at, function = config.resolved(), function_of(config.core)
    compress, expand = MAPS[config.compress], MAPS[config.expand]
    of_core = FUNCTIONS[function] if function else Function
    names: dict[str, tuple[str, Any]] = {
        "compress": ("C", compress),
        "core": ("core", of_core),
        "expand": ("E", expand),
    }
    counts, fixed, layers = Counter[str](), 0, set()
    for key, shape in shapes.items():
        match = re.search(r"(.+)\.qwthn_(compress|core|expand)\.(.+)$", key)
        part, kind = names[match[2]] if match else ("of the base model", Function)  # heads, embeddings and biases
        if match:
            layers.add(match[1])
        if match and match[3] in kind.fixed_tensors:
            fixed += math.prod(shape)
        else:
            counts[part] += math.prod(shape)
    circuit = ""
    if function in TWINS:
        circuit = f" t stands in the place of the method's circuit, as a control: {of_core.report}."
    elif function:
        circuit = f" q is what a simulated circuit of {at.ansatz.qubits} qubits measures, exactly."
    method = METHOD if function or "mpo" in (config.compress, config.expand) else ""
    sizes = [f", {name} {getattr(at, name):g}" for name in SIZES if name not in unread(vars(config))]
    patterns = {"ranks": config.rank_pattern, "alphas": config.alpha_pattern}
    differing = "".join(
        f"; {name} that differ: {escape_markdown(str(each))}" for name, each in patterns.items() if each
    )
    unit = "bytes of packed directions" if at.basis_bits < PLAIN and config.has_fixed_map else "numbers"
    untrained = f"\n- not trained, and in the file: {fixed:,} {unit}" if fixed else ""
    return f"""{HEADING}

Beside each adapted layer W0: c = C x, {formula(config.core)}, y = W0 x + ({at.alpha:g} / {config.r}) E h. C is
{compress.words}, E {expand.words}.{circuit}{method}

- rank r = {config.r}{"".join(sizes)}{differing}
- layers: {", ".join(sorted({name.rpartition(".")[2] for name in layers}))} ({len(layers)} in all)
- parameters: {counts.total():,} ({", ".join(f"{part} {count:,}" for part, count in counts.items())}){untrained}

{LOADING}
"""


def describe_in_card(folder: Path, config: QwthnFields) -> None:
    """Describe an adapter saved in a folder in PEFT's README.md, replacing an earlier description."""
    card = folder / "README.md"
    if not card.is_file() or not (folder / WEIGHTS).is_file():
        return
    block = f"{START}\n\n{method_section(config, shapes_in(folder / WEIGHTS))}{END}"
    text = card.read_text(encoding="utf-8")
    if START in text and END in text:
        text = text.split(START, 1)[0] + block + text.split(END, 1)[1]
    else:  # after the front matter, before the part of PEFT's template that is left to fill in
        front = re.match(r"---\n.*?\n---\n", text, re.DOTALL)
        at = front.end() if front else 0
        text = f"{text[:at]}\n{block}\n\n{text[at:].lstrip()}"
    write_bytes(card, text.encode())
