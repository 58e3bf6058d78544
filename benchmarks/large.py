"""A model of 1.5 B parameters trained for some steps in bfloat16, 4 and 8 bits, against what `qweft plan` foretold.

    python -m benchmarks.large                     (Qwen2.5-1.5B's shape; ten minutes, 8 GB of memory, 5 GB of disk)
    python -m benchmarks.large --shape 0.1b        (a tenth of it, to try the command)
    python -m benchmarks.large --kinds model.quantization=4bit model.quantization=8bit

"4bit" is a folder with packed weights; model.quantization packs those of the folder in bfloat16 as they load.

The weights are random and the rows are random words, all of one length: time and memory do not depend on them. Memory
is the peak of the process above what it held before the model was loaded; the plan leaves PyTorch's own out, too. Pages
of the weights' file are given back after loading and come again where they are read: those of weights that were packed
anew stay in the file, and the system may take their pages at any time.
Seconds of the plan are those of `qweft plan --timed` in another process. Results go to benchmarks/results/large.json.
"""

import argparse
import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from benchmarks.memory import resident
from benchmarks.run import machine
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Qwen2Config, set_seed

from qweft.adapter.attach import adapter_config, attach
from qweft.core.files import write_json
from qweft.data.config import DataConfig
from qweft.data.load import load_data
from qweft.models.config import ModelConfig
from qweft.models.load import load_model, load_tokenizer
from qweft.models.quantization import QUANTIZATIONS
from qweft.models.resolve import resolve
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.loop import fit
from qweft.training.plan import plan

RESULTS = Path(__file__).parent / "results" / "large.json"
SHAPES: dict[str, dict[str, Any]] = {
    "1.5b": {"hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12, "intermediate_size": 8960},
    "0.1b": {"hidden_size": 512, "num_hidden_layers": 10, "num_attention_heads": 8, "intermediate_size": 2048},
}
VOCABULARY = {"1.5b": 151936, "0.1b": 50000}
QUANTIZED: dict[str, Any] = {f"model.quantization={kind}": kind for kind in QUANTIZATIONS}
KINDS = ("bfloat16", "4bit", *QUANTIZED)
ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]},
    "qtha": {"preset": "qtha", "target_modules": ["q_proj", "v_proj"]},
}
LENGTH = 128
KEPT = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""Freed memory goes back to the system, so that the resident size is what is in use."""


def make_folders(folder: Path, shape: str) -> None:
    """Save the model in bfloat16 and in bitsandbytes' 4 bits, with a tokenizer, and rows longer than `LENGTH`."""
    config = Qwen2Config(
        **SHAPES[shape], vocab_size=VOCABULARY[shape], num_key_value_heads=2, tie_word_embeddings=True,
        max_position_embeddings=2048,
    )  # fmt: skip
    torch.manual_seed(0)
    tokenizer = load_tokenizer(resolve(ModelConfig(source="package")))
    plain, packed = folder / "bfloat16", folder / "4bit"
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(plain)
    del model
    asked = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16, bnb_4bit_quant_type="nf4")
    quantized = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.bfloat16, quantization_config=asked)
    quantized.save_pretrained(packed)
    for each in (plain, packed):
        tokenizer.save_pretrained(each)
    words = [tokenizer.decode([number]) for number in range(1000, 3000)]
    drawn = random.Random(0)
    rows = ({"prompt": f"Go on {n}.", "completion": " ".join(drawn.choices(words, k=LENGTH))} for n in range(200))
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))


def config_of(folder: Path, kind: str, adapter: str, steps: int) -> RunConfig:
    return RunConfig(
        model=ModelConfig(
            name=str(folder / ("bfloat16" if kind in QUANTIZED else kind)),
            dtype="bfloat16",
            device="cpu",
            quantization=QUANTIZED.get(kind),
        ),
        data=DataConfig(source=str(folder / "rows.jsonl"), max_length=LENGTH, overlong="cut"),
        adapter=ADAPTERS[adapter],
        training=TrainingConfig(max_steps=steps, batch_size=2, gradient_accumulation=1),
    )


def foretold(config: RunConfig) -> dict[str, Any]:
    """What `qweft plan --timed` says."""
    found = plan(config, timed=True)
    assert found.timing is not None
    return {**found.memory_bytes.to_json(), "step_seconds": found.timing.step_seconds}


def trained(config: RunConfig) -> dict[str, Any]:
    """What a training takes."""
    tokenizer = load_tokenizer(resolve(config.model))
    data = load_data(config.data, tokenizer)
    before = resident("VmRSS")
    loaded = load_model(config.model)
    set_seed(0)
    model = attach(loaded.model, adapter_config(config.adapter))
    give_back_pages(".safetensors")
    found = fit(model, data.train, loaded.tokenizer.pad_token_id, config.training)
    return {"total": found.peak_memory_bytes - before, "step_seconds": found.step_seconds_median}


def give_back_pages(ending: str) -> None:
    """Ask Linux to take back the pages of mapped files of this kind; what is read again comes back from the file."""
    madvise, take_back = ctypes.CDLL(None).madvise, 21
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(ending):
            start, stop = (int(end, 16) for end in line.split()[0].split("-"))
            madvise(start, stop - start, take_back)


def in_process(folder: Path, *what: str) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.large", "--folder", str(folder), "--part", *what]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **KEPT})
    result: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return result


def measure(shape: str, steps: int, kinds: list[str]) -> dict[str, Any]:
    """Foretold and measured memory and seconds of each type and adapter."""
    folder = Path(tempfile.mkdtemp())
    try:
        in_process(folder, "make", shape)
        found: dict[str, Any] = {}
        for kind in kinds:
            for adapter in ADAPTERS:
                said = in_process(folder, "foretold", kind, adapter, str(steps))
                took = in_process(folder, "trained", kind, adapter, str(steps))
                found[f"{kind} {adapter}"] = {
                    "foretold": said,
                    "measured": took,
                    "memory_ratio": took["total"] / said["total"],
                    "time_ratio": took["step_seconds"] / said["step_seconds"],
                }
                print(f"{kind} {adapter}: {json.dumps(found[f'{kind} {adapter}'])}", flush=True)
    finally:
        shutil.rmtree(folder)
    return found


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="1.5b")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["bfloat16", "4bit"])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--part", nargs="+")
    given = parser.parse_args()
    if given.part:
        part, *rest = given.part
        if part == "make":
            make_folders(given.folder, rest[0])
            print("{}")
        else:
            config = config_of(given.folder, rest[0], rest[1], int(rest[2]))
            print(json.dumps(foretold(config) if part == "foretold" else trained(config)))
        return
    kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    found = measure(given.shape, given.steps, given.kinds)
    kept[given.shape] = {**kept.get(given.shape, {}), **found, "machine": machine(), "load_average": os.getloadavg()[0]}
    write_json(RESULTS, kept)


if __name__ == "__main__":
    main()
