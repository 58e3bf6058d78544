"""Every method of configs/baselines.yaml and baselines-more.yaml in every format of `qweft export`.

    python -m research.exports      (ten minutes on a core; keeps research/data/exports.json)

On a llama of two layers and random weights, 192 wide. Adapters are not trained: random numbers are added to all that
they train. So each export is judged by logits alone, after it is read back from its files.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from qweft.adapter.attach import adapter_config, attach
from qweft.comparison.method_kinds import core_of
from qweft.core.errors import QweftError
from qweft.core.output import Console
from qweft.exporting.config import LORAS, TARGETS
from qweft.exporting.run import export
from qweft.method.names import has_circuit
from qweft.method.shipping import is_plain_lora, why_no_lora
from qweft.models.config import ModelConfig
from qweft.models.load import load_tokenizer
from qweft.models.resolve import resolve
from research import evidence

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = ("baselines", "baselines-more")
SIZES: dict[str, Any] = {
    "hidden_size": 192, "intermediate_size": 576, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 4, "initializer_range": 0.1, "tie_word_embeddings": True,
}  # fmt: skip
NOISE = 0.05
"""Standard deviation of what is added to each trained number, over the mean size of its tensor plus 0.2."""
RANK = 192


def specifications() -> dict[str, dict[str, Any]]:
    """Return the adapters of both configs by the names of their methods."""
    found: dict[str, dict[str, Any]] = {}
    for name in FILES:
        methods = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))["methods"]
        found |= {method: dict(each["adapter"]) for method, each in methods.items()}
    for adapter in found.values():
        if "preset" in adapter:
            adapter["init_weights"] = False
        if adapter.get("init_lora_weights") == "lora_ga":  # a start from gradients; its file is a LoRA
            del adapter["init_lora_weights"]
        if adapter.get("peft_type") == "ADALORA":
            adapter["total_step"] = 60
    return found


def written(folder: Path, adapter: dict[str, Any]) -> Path:
    """Write an adapter whose numbers matter, and return its folder."""
    torch.manual_seed(0)
    model = attach(LlamaForCausalLM.from_pretrained(folder / "model"), adapter_config(adapter))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * NOISE * (parameter.abs().mean() + 0.2))
    model.save_pretrained(str(folder / "adapter"))
    return folder / "adapter"


def row(folder: Path, name: str, adapter: dict[str, Any]) -> dict[str, Any]:
    """Export an adapter to each format; return the relative logit errors, or why there is no such export."""
    place = written(folder, adapter)
    found: dict[str, Any] = {"method": name, "peft_type": adapter.get("peft_type", "QWTHN")}
    for to in TARGETS:
        options: dict[str, Any] = {"to": to, "calibration": str(folder / "rows.jsonl"), "output": str(folder / "out")}
        if to in LORAS and not is_plain_lora(adapter) and adapter.get("peft_type", "QWTHN") != "QWTHN":
            options["rank"] = RANK  # the whole change: how small it may be is the question of lora_fit.py
        try:
            report = export(place, options, force=True)
            found[to] = report.written_relative_difference
            shutil.rmtree(folder / "out")
            found["rank"] = report.rank or found.get("rank")
        except QweftError as error:
            found[to] = str(error).removeprefix(f"{place}: ")
    return found


def main() -> int:
    """Export all methods, and keep the rows."""
    torch.set_num_threads(1)
    rows, console = [], Console()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tokenizer = load_tokenizer(resolve(ModelConfig(name="smollm2-135m-instruct", source="package")))
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **SIZES))
        model.save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")
        texts = [{"prompt": f"What follows {number}?", "completion": f"{number + 1} does."} for number in range(24)]
        (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, texts)), encoding="utf-8")
        for name, adapter in specifications().items():
            rows.append(row(folder, name, adapter))
            console.print(json.dumps(rows[-1]), highlight=False)
    evidence.keep({"command": "python -m research.exports", "model": SIZES, "rows": rows}, "exports")
    return 0 if all(isinstance(each["merged"], float) and each["merged"] <= 1e-4 for each in rows) else 1


def table_rows() -> list[list[str]]:
    """Return the table of docs/serving.md: a row a method."""
    found = []
    adapters = specifications()
    for each in evidence.read("exports")["rows"]:
        adapter = adapters[each["method"]]
        errors = [each[to] if isinstance(each[to], str) else f"{each[to]:.0e}" for to in ("merged", "merged-gguf")]
        reason, core = why_no_lora(adapter), core_of(adapter)
        if reason:
            how = f"no: {reason}"
        elif core is not None:
            how = "its linear fit" if has_circuit(core) else "itself"
        else:
            how = "itself" if is_plain_lora(adapter) else "nearest"
        found.append([each["method"], each["peft_type"], *errors, how])
    return found


if __name__ == "__main__":
    sys.exit(main())
