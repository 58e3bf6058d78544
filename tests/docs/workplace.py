"""A folder in which the commands of the documentation can be run: tiny models in the place of real ones.

The config files are the repository's own. What is laid over a command makes it small: the model, the rows, the steps;
what starts hours of work is only planned. The command as it stands is checked before, by the same code.
"""

import json
import re
import shlex
import shutil

import torch
from research import evidence
from transformers import LlamaConfig, LlamaForCausalLM

from qweft.cli.main import main
from qweft.comparison.search.starter import is_config
from tests.data.tiny_tokenizer import CHATML, make_tokenizer
from tests.docs.blocks import BLOCKS, ROOT
from tests.tiny_folder import save_rows

ADAPTERS = ("train", "chat", "demo/qtha-0", "demo/qwthn-0", "mine", "plain", "aware", "my/winner", "my/trained",
            "experiment-reasoning/qtha-0")  # fmt: skip
"""Folders below runs that commands of the documentation take an adapter from."""
PLACEHOLDERS = {"ADAPTER": "runs/train/adapter", "NAME": "layers.0.self_attn.q_proj"}
MODEL = ["--model.name", "model", "--model.source", "auto", "--model.dtype", "float32", "--model.device", "cpu"]
ROWS = ["--data.source", "rows.jsonl", "--data.train_rows", "8", "--data.validation_rows", "4", "--data.test_rows", "4",
        "--data.max_length", "64", "--data.overlong", "cut"]  # fmt: skip
LAYERS = ["--adapter.layers_to_transform", "[0, 3, 10]"]
STEPS = ["--training.max_steps", "2", "--training.batch_size", "2", "--training.gradient_accumulation", "1"]
ANSWERS = ["--evaluation.max_new_tokens", "2", "--evaluation.answers", "1"]
SMALL = {
    "train": [*MODEL, *ROWS, *STEPS, *ANSWERS, *LAYERS],
    "plan": [*MODEL, *ROWS, *STEPS, *ANSWERS, *LAYERS],
    "compare": [*MODEL, *ROWS, *STEPS, "--dry-run"],
    "init": ["--model", "model"],
    "tune": [*MODEL, *ROWS, *STEPS, "--dry-run"],
    # longer rows, as the tiny tokenizer makes more tokens of a text
    "data": [
        *MODEL,
        "--data.max_rows",
        "300",
        "--data.test_rows",
        "4",
        "--data.validation_rows",
        "4",
        "--data.max_length",
        "1024",
    ],
    "inspect": ["--rows", "4", "--tokens", "8"],
    "export": ["--calibration", "rows.jsonl", "--calibration-tokens", "64", "--force"],
    "push": ["--dry-run"],
    "chat": ["--max-new-tokens", "2"],
}
EVALUATE = {
    "--device": ["--max-circuits", "600", "--yes"],
    "--noise-scale": ["--noise-scale", "0,1", "--shots", "50"],
    "--evaluation.generated": ["--evaluation.generated", "2", "--evaluation.max_new_tokens", "2"],
    "--evaluation.forgetting": ["--evaluation.forgetting_rows", "4"],
    "text,reasoning,verifier": ["--data.source", "embedded:gsm_symbolic", "--data.max_length", "1000"],
}
"""What makes an evaluation small, by what is in it; only those data have a verifier."""
INSTEAD = {"embedded:gsm_symbolic": "more.jsonl", "embedded:chitchat": "more.jsonl"}
"""Data in the place of others where they are not what the command is about."""
KEPT_ELSEWHERE = {"doctor": "tests/cli/test_doctor.py", "ui": "tests/serve/test_page.py"}
"""Commands that a test of their own runs."""


def make_workplace(folder):
    """Fill a folder with all that the commands of the documentation take."""
    for part in ("configs", "research/configs"):
        shutil.copytree(ROOT / part, folder / part)
    tokenizer = make_tokenizer(CHATML)
    torch.manual_seed(0)
    shape = {"hidden_size": 24, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = LlamaConfig(vocab_size=len(tokenizer), num_hidden_layers=11, max_position_embeddings=1024, **shape)
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    save_rows(folder / "rows.jsonl")
    rows = [{"question": f"Is {n} even?", "answer": "Yes." if n % 2 == 0 else "No."} for n in range(40)]
    (folder / "my.csv").write_text("\n".join(["question,answer", *(f"{r['question']},{r['answer']}" for r in rows)]))
    (folder / "more.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for block in BLOCKS:
        if block.kind == "yaml" and "training:" in block.code:  # a run's config: under the name that its page gives it
            for name in set(
                re.findall(r"qweft train (\w+\.yaml)", " ".join(b.code for b in BLOCKS if b.page == block.page))
            ):
                (folder / name).write_text(block.code)
        if block.kind == "yaml" and "one_qubit:" in block.code:
            (folder / "mine.yaml").write_text(block.code)
    for name, record in (("demo", "demo"), ("controls", "experiment-dialogue")):
        (folder / "runs" / name).mkdir(parents=True)
        (folder / "runs" / name / "results.json").write_text(json.dumps({"format": 1, **evidence.read(record)}))


def train_adapters(folder):
    """Train one tiny adapter, in the folder, and put it wherever the documentation has one."""
    adapter = "{preset: qtha, r: 4, circuit_layers: 2, width: 16, bond_dimension: 4, target_modules: [q_proj, v_proj]}"
    assert (
        main(["train", *MODEL, *ROWS, *STEPS, *ANSWERS, "--adapter", adapter, *LAYERS, "--output", "runs/first"]) == 0
    )
    for name in ADAPTERS:
        shutil.copytree(folder / "runs" / "first", folder / "runs" / name, dirs_exist_ok=True)
    (folder / "runs/my/winner/train.yaml").write_text(f"adapter: {adapter}\noutput: runs/my/trained\n")


def words_of(line):
    """The arguments after qweft of a command line; placeholders are filled in."""
    line = re.sub(r"^eval \"\$\((.*)\)\"$", r"\1", line)
    words = shlex.split(line, comments=True)
    words = words[words.index("qweft") :]
    return [PLACEHOLDERS.get(word, word) for word in words[1:]]


def typed(line):
    """What stands before a pipe, as standard input of the command; none where nothing does."""
    words = shlex.split(line, comments=True)
    if words[0] not in ("echo", "printf"):
        return None
    return words[1].replace("\\n", "\n") + ("\n" if words[0] == "echo" else "")


def made_small(words):
    """The same command, at a size that takes a second."""
    command = words[0]
    small = SMALL.get(command, [])
    if command == "evaluate":
        small = [each for word in words for each in EVALUATE.get(word, ())]
    if command == "compare" and not is_config(words[1]):
        small = small[: small.index("--data.source")] + small[small.index("--data.source") + 2 :]
    if command == "data":
        return words if words[1] == "list" else [*words, *small]
    if "all-linear" in words:  # PEFT takes no layers beside it
        small = [word for word in small if word not in LAYERS]
    return [*(INSTEAD.get(word, word) for word in words), *small]
