"""How large activations and gradients are when training starts, for each start, rank, depth and width.

    OMP_NUM_THREADS=1 python -m benchmarks.start_scales        (seven minutes on one core)

The embedded model reads real dialogue rows once; the inputs x of the adapted layers and the gradients g of the loss at
their outputs are kept. Before the first step the adapted model is the base model, so x and g are the same for every
adapter, and the gradients of a branch are those of sum(g * branch(x)): exact, and without the model. The run checks
that once against the whole model. After a step of the last core alone (the only part with a gradient) g is off by the
step's size, which is small.
"""

import argparse
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qweft.adapter import QwthnConfig
from qweft.adapter.attach import attach, detach
from qweft.adapter.layer import QwthnLinear
from qweft.data.batches import Collator
from qweft.data.config import DataConfig
from qweft.data.load import load_data
from qweft.models.config import ModelConfig
from qweft.models.load import load_model

LAYERS = (0, 15, 29)
MODULES = ("q_proj", "v_proj")
ROWS = 4
STEP = 1e-2  # the learning rate of the one step: Adam's first step is the rate times the gradient's sign
SHOWN = (
    *("c_rms", "q_rms", "q_spread", "dq_dc", "turn", "nearby_correlation", "Qq_rms", "Kc_rms", "h_rms"),
    *("branch_over_base", "grad_last_over_lora", "moved_over_lora", "grad_C_over_lora", "grad_angles_norm"),
)
BOUNDED = ("c_rms", "h_rms", "q_spread", "turn", "grad_last_over_lora", "moved_over_lora")
Batch = Mapping[str, torch.Tensor]
Scales = dict[str, float]
Places = dict[str, tuple[torch.Tensor, torch.Tensor, nn.Module]]


def rms(tensor: torch.Tensor) -> float:
    return tensor.detach().square().mean().sqrt().item()


def norm(tensor: torch.Tensor) -> float:
    return tensor.detach().norm().item()


def places_of(model: Any, batch: Batch) -> Places:
    """For each adapted layer the real tokens' inputs x, the gradients g at the outputs, and the layer."""
    kept: Places = {}
    handles = []

    def keep(name: str) -> Callable[..., torch.Tensor]:
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            output.requires_grad_()
            output.retain_grad()
            kept[name] = (inputs[0].detach(), output, module)
            return output

        return hook

    for index, name in itertools.product(LAYERS, MODULES):
        module = getattr(model.model.layers[index].self_attn, name)
        handles.append(module.register_forward_hook(keep(f"{index}.{name}")))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model(**batch, use_cache=False).loss.backward()
    for handle in handles:
        handle.remove()
    real = batch["attention_mask"].bool()
    found = {}
    for name, (x, y, module) in kept.items():
        assert y.grad is not None
        found[name] = x[real], y.grad[real], module
    return found


def lora_scales(x: torch.Tensor, g: torch.Tensor, r: int) -> Scales:
    """LoRA as PEFT starts it (A kaiming-uniform with a = sqrt 5, B zero), alpha = 2 r."""
    A, B = torch.empty(r, x.shape[1]), torch.zeros(g.shape[1], r, requires_grad=True)
    nn.init.kaiming_uniform_(A, a=math.sqrt(5))
    A.requires_grad_()
    (2 * g * (x @ A.t() @ B.t())).sum().backward()
    first = B.grad
    assert first is not None
    stepped = (-STEP * first.sign()).requires_grad_()
    moved = 2 * x @ A.t() @ stepped.t()
    (to_A,) = torch.autograd.grad((g * moved).sum(), A)
    return {
        "c_rms": rms(x @ A.t()),
        "grad_B_rms": rms(first),
        "grad_B_norm": norm(first),
        "moved_y_rms": rms(moved),
        "grad_A_norm": norm(to_A),
    }


def circuit(core: Any, c: torch.Tensor) -> torch.Tensor:
    """q(c)."""
    return core.function_values(c, *core.angles_of(core.tensors()))


def applied(core: Any, c: torch.Tensor) -> torch.Tensor:
    """h = core(c)."""
    tensors = core.tensors()
    features = core.features(c, *core.angles_of(tensors))
    return features @ core.combine(torch.eye(c.shape[-1]), tensors).t()


def mapped(part: Any, x: torch.Tensor) -> torch.Tensor:
    return x @ part.matrix().t()


def branch_of(layer: QwthnLinear, x: torch.Tensor) -> torch.Tensor:
    found = mapped(layer.qwthn_compress["default"], x)
    h = applied(layer.qwthn_core["default"], found)
    return mapped(layer.qwthn_expand["default"], h) * layer.scaling["default"]


def last_core(layer: QwthnLinear) -> torch.Tensor:
    expand: Any = layer.qwthn_expand["default"]
    return expand.operator.cores[-1]


def scales(config: QwthnConfig, x: torch.Tensor, g: torch.Tensor, base: nn.Module, seed: int, tokens: int) -> Scales:
    """Everything about one branch at its start, and after one step of its last core."""
    torch.manual_seed(seed)
    layer = QwthnLinear(base, "default", config, config.r, config.alpha)
    compress: Any = layer.qwthn_compress["default"]
    core: Any = layer.qwthn_core["default"]
    expand: Any = layer.qwthn_expand["default"]
    last, s = last_core(layer), layer.scaling["default"]
    found: Scales = {}
    with torch.no_grad():
        c = mapped(compress, x)
        h = applied(core, c)
        found |= {"x_rms": rms(x), "c_rms": rms(c), "c_spread": rms(c - c.mean(0)), "h_rms": rms(h)}
        found |= {"h_spread": rms(h - h.mean(0)), "branch_over_base": rms(s * mapped(expand, h)) / rms(base(x))}
        if hasattr(core, "linear_weight"):
            found["Kc_rms"] = rms(nn.functional.linear(c, core.linear_weight))
    few = c[:tokens].clone().requires_grad_()
    q = circuit(core, few)
    # |J^T v|^2 over random v is the squared Frobenius norm of J = dq/dc in the mean; per output: divided by r
    jacobians = [torch.autograd.grad(q, few, torch.randn_like(q), retain_graph=True)[0] for _ in range(2)]
    with torch.no_grad():
        nudge = torch.randn_like(x[:tokens])
        near = x[:tokens] + 0.01 * nudge * x[:tokens].norm(dim=1, keepdim=True) / nudge.norm(dim=1, keepdim=True)
        other = circuit(core, mapped(compress, near))
        a, b = q - q.mean(0), other - other.mean(0)
        spread = rms(a)
        jacobian = math.sqrt(sum(rms(entry) ** 2 for entry in jacobians) / len(jacobians))
        found |= {"q_rms": rms(q), "q_spread": spread, "dq_dc": jacobian}
        found["turn"] = jacobian * rms(few - few.mean(0)) / spread
        found["nearby_correlation"] = ((a * b).sum() / (a.norm() * b.norm())).item()
        if hasattr(core, "quantum_weight"):
            found["Qq_rms"] = rms(nn.functional.linear(q, core.quantum_weight))
        nn.init.zeros_(expand.operator.cores[-1])
    # step 0: x and g are the whole model's
    with torch.no_grad():
        h = applied(core, mapped(compress, x)) * s
    (first,) = torch.autograd.grad((g * mapped(expand, h)).sum(), last)
    found |= {"grad_last_rms": rms(first), "grad_last_norm": norm(first)}
    with torch.no_grad():
        last.copy_(-STEP * first.sign())
    branch = branch_of(layer, x[:tokens])
    found["moved_y_rms"] = rms(branch)
    (g[:tokens] * branch).sum().backward()
    parts = {"C_cores": list(compress.operator.cores), "A": [compress.weight], "B": [expand.weight]}
    parts["E_first_cores"] = list(expand.operator.cores)[:-1]
    parts["K"] = [core.linear_weight] if hasattr(core, "linear_weight") else []
    parts["Q"] = [core.quantum_weight] if hasattr(core, "quantum_weight") else []
    parts["angles"] = [core.angles]
    for name, tensors in parts.items():
        if tensors:
            flat = torch.cat([tensor.grad.flatten() for tensor in tensors])
            found[f"grad_{name}_rms"], found[f"grad_{name}_norm"] = rms(flat), norm(flat)
    return found


def mean(values: list[float]) -> float:
    """Geometric mean of positive values; the plain one where a sign is possible."""
    if min(values) > 0:
        return math.exp(sum(map(math.log, values)) / len(values))
    return sum(values) / len(values)


def check_against_the_model(model: Any, batch: Batch, places: Places) -> float:
    """Largest relative difference of the last cores' gradients: the branch alone against the whole model."""
    config = QwthnConfig.preset(
        "qtha", r=4, circuit_layers=2, width=16, bond_dimension=4, start="recorded", target_modules=list(MODULES)
    )
    config.layers_to_transform = list(LAYERS)
    torch.manual_seed(0)
    adapted: Any = attach(model, config)
    adapted(**batch, use_cache=False).loss.backward()
    worst = 0.0
    for name, (x, g, _) in places.items():
        index, module = name.split(".")
        layer = getattr(adapted.base_model.model.model.layers[int(index)].self_attn, module)
        last = last_core(layer)
        (alone,) = torch.autograd.grad((g * branch_of(layer, x)).sum(), last)
        assert last.grad is not None
        worst = max(worst, norm(alone - last.grad) / norm(last.grad))
    detach(adapted)
    return worst


def inputs_of(places: Places) -> dict[str, Scales]:
    """How large what each layer reads is, and what the base layer makes of it."""
    return {
        name: {"rms": rms(x), "rms_of_mean_token": rms(x.mean(0)), "base_output_rms": rms(module(x))}
        for name, (x, _, module) in places.items()
    }


def against_lora(
    config: QwthnConfig, places: Places, reference: Mapping[str, Scales], seeds: int, tokens: int
) -> Iterator[Scales]:
    """The scales of each layer's branch for each random start, some of them over LoRA's."""
    for place, (name, (x, g, base)) in enumerate(places.items()):
        lora = reference[name]
        for seed in range(seeds):
            found = scales(config, x, g, base, 100 * place + seed, tokens)
            into = math.hypot(found["grad_C_cores_norm"], found["grad_A_norm"])
            found["grad_last_over_lora"] = found["grad_last_norm"] / lora["grad_B_norm"]
            found["moved_over_lora"] = found["moved_y_rms"] / lora["moved_y_rms"]
            found["grad_C_over_lora"] = into / lora["grad_A_norm"]
            yield found


def rounded(value: float) -> float:
    """Four digits of it."""
    return float(f"{value:.4g}")


def summary(draws: list[Scales]) -> dict[str, Scales]:
    """Means over the draws, and bounds of some."""
    return {
        "mean": {key: rounded(mean([draw[key] for draw in draws])) for key in draws[0]},
        "least": {key: rounded(min(draw[key] for draw in draws)) for key in BOUNDED},
        "most": {key: rounded(max(draw[key] for draw in draws)) for key in BOUNDED},
    }


def write(output: Path, result: dict[str, Any], table: list[dict[str, Any]]) -> None:
    """Write one line a setting."""
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_suffix(".part")
    head = json.dumps({**result, "settings": []}, indent=1)
    rows = ",\n".join(f"  {json.dumps(entry)}" for entry in table)
    beside.write_text(head.replace('"settings": []', f'"settings": [\n{rows}\n ]') + "\n")
    os.replace(beside, output)


def asked() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="benchmarks/results/start_scales.json")
    parser.add_argument("--presets", nargs="+", default=["qtha", "qwthn"])
    parser.add_argument("--starts", nargs="+", default=["recorded", "scaled"])
    parser.add_argument("--ranks", nargs="+", type=int, default=[4, 6, 8, 10])
    parser.add_argument("--layers", nargs="+", type=int, default=[1, 2, 4, 10])
    parser.add_argument("--widths", nargs="+", type=int, default=[16, 64, 256])
    parser.add_argument("--seeds", type=int, default=1, help="random starts for each of the six layers")
    parser.add_argument("--tokens", type=int, default=96, help="tokens that the circuit is differentiated on")
    parser.add_argument("--limit", type=float, default=600, help="seconds; what is left over is named")
    return parser.parse_args()


def main() -> None:
    """Measure, print and write all settings, as far as the time limit lets them."""
    arguments = asked()
    began = time.perf_counter()
    loaded = load_model(ModelConfig(name="smollm2-135m-instruct", source="package", device="cpu"))
    rows = DataConfig(
        source="embedded:chitchat", train_rows=ROWS, validation_rows=1, test_rows=1, max_length=64, overlong="drop"
    )
    batch = Collator(loaded.tokenizer.pad_token_id)(load_data(rows, loaded.tokenizer).train)
    places = places_of(loaded.model, batch)
    difference = check_against_the_model(loaded.model, batch, places)
    print(f"the branch alone against the whole model: gradients differ by {difference:.1e} of their norm")
    if difference > 1e-3:
        raise SystemExit("the branch alone does not have the model's gradients")
    inputs = inputs_of(places)
    for name, values in inputs.items():
        print(name, *(f"{key} {value:.3f}" for key, value in values.items()))
    reference = {}
    for r in arguments.ranks:
        torch.manual_seed(r)
        reference[r] = {name: lora_scales(x, g, r) for name, (x, g, _) in places.items()}
    print(" ".join(["preset start        r  L width", *(f"{name[:9]:>9}" for name in SHOWN)]))
    table, left_out = [], []
    grid = itertools.product(arguments.layers, arguments.ranks, arguments.widths, arguments.presets, arguments.starts)
    for layers, r, width, preset, start in grid:
        entry: dict[str, Any] = {"preset": preset, "start": start, "r": r, "circuit_layers": layers, "width": width}
        if time.perf_counter() - began > arguments.limit:
            left_out.append(entry)
            continue
        sizes = {"r": r, "circuit_layers": layers, "width": width, "bond_dimension": 4 if width == 16 else 8}
        config = QwthnConfig.preset(preset, **sizes, start=start, init_weights=False)
        draws = list(against_lora(config, places, reference[r], arguments.seeds, arguments.tokens))
        entry |= {"bond_dimension": config.bond_dimension, **summary(draws)}
        table.append(entry)
        cells = [f"{entry['mean'][key]:9.3g}" if key in entry["mean"] else " " * 9 for key in SHOWN]
        print(f"{preset:6} {start:10} {r:2} {layers:2} {width:5}", *cells, flush=True)
    if left_out:
        print(f"time limit: {len(left_out)} of {len(left_out) + len(table)} settings left out")
    lora = {
        r: {key: rounded(mean([v[key] for v in values.values()])) for key in next(iter(values.values()))}
        for r, values in reference.items()
    }
    result = {
        "model": loaded.source.name,
        "data": "embedded:chitchat",
        "tokens": int(batch["attention_mask"].sum()),
        "places": inputs,
        "draws_per_setting": len(places) * arguments.seeds,
        "gradient_check": difference,
        "lora": lora,
        "left_out": left_out,
        "seconds": round(time.perf_counter() - began),
    }
    write(Path(arguments.output), result, table)
    print(f"written: {arguments.output} ({result['seconds']} s)")


if __name__ == "__main__":
    main()
