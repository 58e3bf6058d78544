"""Results with all that a report can show, from chosen numbers."""

import math

from qweft.comparison.judge.summarise import summarise
from qweft.comparison.report.content import Content, figures
from tests.comparison.comparison_examples import run

CONFIG = "model: {name: tiny}\nmethods:\n  qtha: {adapter: {preset: qtha, r: 4, circuit_layers: 2}}\n"
QTHA = {"preset": "qtha", "r": 4}
ADAPTERS = {
    "lora": {"peft_type": "LORA", "r": 8},
    "lora_small": {"peft_type": "LORA", "r": 1},
    "qtha": {**QTHA, "circuit_layers": 2},
    "qwthn": {"preset": "qwthn", "r": 4, "circuit_layers": 2},
    "mpo": {"preset": "mpo", "r": 4},
    **{core: {**QTHA, "core": core} for core in ("mlp_linear", "fourier_linear", "frozen_linear", "product_linear")},
}
RATES = (0.001, 0.003, 0.01, 0.03)


def many_adapters(number=16):
    """So many methods, some with names that no figure has room for."""
    long = "quantum_weighted_adapter_of_rank_{}_with_a_scaled_start"
    names = [(long if i % 3 == 0 else "method_{}").format(i) for i in range(number - 1)]
    return {"lora": ADAPTERS["lora"], **{name: {"preset": "qtha", "r": 2 + i % 3} for i, name in enumerate(names)}}


def results(adapters=ADAPTERS, seeds=3, inspected=True, diverged=()):
    """The content of a results.json, as a comparison writes it: by default of inspected methods.

    `diverged` are the methods whose first seed diverged.
    """
    told = ({"prompt": "user: What is 6 times 7?", "reference": "42", "generated": "It is 42, I think."},)
    made = [run("base", 0, 1.9, answers=told)]
    for seed in range(seeds):
        for i, (method, adapter) in enumerate(adapters.items()):
            loss = 1.0 + 0.03 * ((7 * i) % 5) + 0.02 * math.sin(3 * seed + i)
            gone = method in diverged and seed == 0
            curve = [(step, math.nan if gone and step > 20 else learned(step, i, seed, loss)) for step in range(1, 41)]
            made.append(
                run(method, seed, None if gone else loss, adapter=adapter, steps=40, train_loss_curve=tuple(curve),
                    trainable_parameters=460_800 if i == 0 else 54_000 + 2_700 * ((5 * i) % 7), learning_rate=0.01,
                    step_seconds_median=0.2 + 0.04 * ((3 * i) % 8), cpu_by_others=0.01, answers=told)
            )  # fmt: skip
    records = [entry.to_json() for entry in made]
    for record in records:
        if inspected and record["method"] != "base" and record["seed"] == 0:
            record["inspection"] = inspection(record["method"])
    return {
        "format": 1,
        "runs": records,
        "summary": {name: entry.to_json() for name, entry in summarise(made).items()},
        "environment": {
            "qweft": "0.1.0", "cpu": "some processor", "date": "2026-01-01T00:00:00+00:00",
            "command": "qweft compare configs/demo.yaml --output runs/demo", "git_commit": "0123abc",
            "model_origin": "a package, Q4_1 dequantised",
        },
        "config_yaml": CONFIG,
        "search": {
            method: {
                "best": 0.03 if i == 1 else 0.01, "at_end_of_grid": i == 1,
                "validation_loss": {f"{rate:g}": searched_loss(math.log10(rate), i) for rate in RATES},
            }
            for i, method in enumerate(adapters)
        },
    }  # fmt: skip


def searched_loss(decade, i):
    """A curve whose optimum is among the rates, the second method's above them."""
    return 1 + 0.1 * (decade + (1 if i == 1 else 2 + 0.1 * i)) ** 2 + 0.02 * i


def learned(step, i, seed, loss):
    """A training loss that falls to a held-out one, not quite smoothly."""
    return loss + 1.1 * math.exp(-step / (9 + i)) + 0.05 * math.sin(step * (i + 2) + seed)


def inspection(method, blocks=12):
    """What is measured inside a method's adapters; a LoRA has no circuit."""
    has_circuit = "lora" not in method and method != "mpo"
    kept = {"constant": {"kept": 0.42, "kept_error": 0.031}, "affine": {"kept": 0.973, "kept_error": None}}
    return {
        "rows": 16,
        "tokens": 1024,
        "layers": [
            layer(f"model.layers.{block}.self_attn.{module}", has_circuit, 1 + 0.5 * math.sin(block / 5 + j))
            for block in range(blocks)
            for j, module in enumerate(("q_proj", "v_proj"))
        ],
        "dequantised": {"fits": kept} if method in ("qtha", "qwthn") else None,
    }


def layer(name, has_circuit, value):
    """One layer; `value` decides on all numbers."""
    of_circuit = ("circuit_share", "circuit_share_varying", "linear_share", "entanglement", "expressibility")
    return {
        "layer": name,
        "effective_rank_token": 1 + value,
        "relative_size": 0.01 * value,
        "varying_share": 0.1 * value if has_circuit else 1e-31,
        **dict.fromkeys(of_circuit, 0.3 * value if has_circuit else None),
        "gradient_norms": {"circuit": value if has_circuit else None, "linear": 2 * value},
    }


def content_of(results):
    """The content of a results.json and its figures."""
    content = Content.read(results)
    return content, figures(content)
