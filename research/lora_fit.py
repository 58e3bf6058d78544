"""The LoRA that knows the data against PEFT's `convert_to_lora`, which knows the weights alone.

    python -m research.lora_fit     (an hour on a core; keeps research/data/lora-fit.json)

Trains the eight adapters of research/lora_fit.yaml where they are not there yet. Both conversions are made of
the same adapters and judged on the same held-out rows: what share of the adapter's gain over the base model they keep
at each rank. The rank that keeps 99% is found by bisection among powers of two.
"""

import argparse
import json
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from peft import convert_to_lora

from qweft import train
from qweft.core.output import Console
from qweft.data.batches import Collator
from qweft.data.load import load_data
from qweft.evaluation.loss import held_out_loss
from qweft.evaluation.record import sections_of
from qweft.evaluation.saved import put_on
from qweft.exporting.lora import Lora
from qweft.exporting.low_rank import RANKS, nearest
from qweft.exporting.measure import replaced
from qweft.exporting.merging import changes
from qweft.exporting.plan import first_rows
from qweft.models.load import load_model
from research import evidence

CONFIG = Path(__file__).with_suffix(".yaml")
SHARE, TOKENS = 0.99, 16384
PREFIX = "base_model.model."
Make = Callable[[int], Lora]


def by_weights(model: Any, most: int) -> Make:
    """Return PEFT's conversion as a LoRA of any rank: a truncated singular value decomposition, so it is made once."""
    _, tensors = convert_to_lora(model, rank=most)
    parts = {
        part: {
            name.removeprefix(PREFIX).removesuffix(f".lora_{part}.weight"): tensor.float()
            for name, tensor in tensors.items()
            if name.endswith(f".lora_{part}.weight")
        }
        for part in "AB"
    }

    def made(rank: int) -> Lora:
        down = {name: tensor[:rank] for name, tensor in parts["A"].items()}
        return Lora(rank, down, {name: tensor[:, :rank] for name, tensor in parts["B"].items()}, {})

    return made


def by_data(model: Any, batches: list[dict[str, torch.Tensor]]) -> Make:
    """Return the export's conversion as a LoRA of any rank."""
    return nearest(model, changes(model), batches)[0].first


def measured(adapter: Path, rows: int | None) -> dict[str, Any]:
    """Measure both conversions of an adapter."""
    model_config, data_config, judging = sections_of(adapter, {})
    loaded = load_model(model_config)
    data, pad = load_data(data_config, loaded.tokenizer), int(loaded.tokenizer.pad_token_id)
    model, held_out = put_on(loaded, adapter), data.test[:rows]

    def loss() -> float:
        return held_out_loss(model, held_out, pad, judging.batch_size).loss

    with model.disable_adapter():
        base = loss()
    own = loss()
    text = first_rows(data.train, TOKENS)
    batches = [Collator(pad)(text[start : start + 16]) for start in range(0, len(text), 16)]
    inputs = [{key: batch[key] for key in ("input_ids", "attention_mask")} for batch in batches]
    most = min(min(change.shape) for change in changes(model).values())
    found: dict[str, Any] = {"base_loss": base, "loss": own, "rows": len(held_out), "largest_rank": most}
    for name, make in (("weights", by_weights(model, most)), ("data", by_data(model, inputs))):
        shares: dict[int, float] = {}

        def keeps(rank: int, make: Make = make, shares: dict[int, float] = shares) -> bool:
            with replaced(model, make(rank)):
                shares[rank] = (base - loss()) / (base - own)
            return shares[rank] >= SHARE

        ranks = [rank for rank in RANKS if rank <= most]
        rank = ranks[bisect_left(ranks, True, hi=len(ranks) - 1, key=keeps)]
        if rank not in shares:
            keeps(rank)
        found[name] = {
            "rank": rank if shares[rank] >= SHARE else None,
            "kept": {str(each): shares[each] for each in sorted(shares)},
        }
    return found


def table_rows() -> list[list[str]]:
    """Return the table of docs/serving.md: a row a method."""
    rows = []
    for name, each in evidence.read("lora-fit")["methods"].items():
        ranks = [str(each[way]["rank"] or f"above {each['largest_rank']}") for way in ("weights", "data")]
        rank = each["data"]["rank"]
        rows.append(
            [
                name,
                f"{each['base_loss'] - each['loss']:.3f}",
                *ranks,
                f"{100 * each['data']['kept'][str(rank)]:.1f}%" if rank else "",
            ]
        )
    return rows


def main() -> None:
    """Train, measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/lora-fit"))
    parser.add_argument("--rows", type=int, help="held-out rows; all by default")
    parser.add_argument("--methods", nargs="+")
    given, console = parser.parse_args(), Console()
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    for name, method in config["methods"].items():
        folder = given.output / name
        if given.methods and name not in given.methods:
            continue
        if not (folder / "adapter").is_dir():
            rate = {"learning_rate": method["learning_rate"]}
            shared = {key: config[key] for key in ("model", "data", "evaluation")}
            train(
                {**shared, "adapter": method["adapter"], "training": config["training"] | rate, "output": str(folder)}
            )
        kept = folder / "lora-fit.json"
        if not kept.is_file():
            kept.write_text(json.dumps(measured(folder / "adapter", given.rows)), encoding="utf-8")
        console.print(f"{name}: {kept.read_text(encoding='utf-8')}", highlight=False)
    files = {name: given.output / name / "lora-fit.json" for name in config["methods"]}
    if all(file.is_file() for file in files.values()):
        methods = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()}
        evidence.keep({"command": "python -m research.lora_fit", "config": config, "methods": methods}, "lora-fit")


if __name__ == "__main__":
    main()
