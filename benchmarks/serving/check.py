"""Exports under llama.cpp and vLLM, beside transformers: same prompts, log-probabilities and greedy answers.

    python -m benchmarks.serving.check                      (make serve-check; half an hour, Linux)
    python -m benchmarks.serving.check --engines llama_cpp  (ten minutes)
    python -m benchmarks.serving.check --adapters runs/compare/winner/adapter --results mine.json

Adapters of an embedded model are trained for a few steps, exported to every format, and read by the program that the
format is for. It fails where a number is further from transformers' than it may be:

- from the same export in transformers by more than `TOLERANCE` nats: both compute in float32, in another order;
- a greedy answer differs where transformers' two tokens are no tie within the tolerance;
- llama.cpp makes other tokens of a text, or another prompt of a conversation.

The prompts are held-out rows, on which the export was measured. Results land in benchmarks/results/serving.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from benchmarks.peers.environments import NotInstalledError, install
from benchmarks.run import machine
from peft import PeftModel

from qweft.adapter.attach import detach, quiet_peft
from qweft.core.files import write_json
from qweft.core.reader import build
from qweft.data.tokens import IGNORED, Encoded
from qweft.evaluation.generation import greedy
from qweft.exporting.config import TARGETS
from qweft.exporting.gguf import write_model
from qweft.exporting.plan import load_rows, plan_export
from qweft.exporting.run import export
from qweft.method.peft_methods import OWN
from qweft.method.shipping import is_plain_lora, method_name, why_no_lora
from qweft.models.load import LoadedModel, load_model
from qweft.training.config import RunConfig
from qweft.training.run import train

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / ".environments"
RESULTS = HERE.parent / "results" / "serving.json"
TOLERANCE = 1e-2
"""Nats by which a log-probability may differ for another order of sums, over the tokens that the engine names."""
TOP, NEW_TOKENS, PROMPTS = 20, 24, 6
FLOAT32 = {"model": {"dtype": "float32"}}
CALIBRATION = 2048
"""Tokens that circuits are fitted on; how near the fit comes is no matter here, only that what it said is true."""
SECONDS = 1200
ENGINES = {"llama_cpp": ("gguf", "merged-gguf"), "vllm": ("lora", "merged")}
"""The formats of each engine."""
ADAPTERS: dict[str, dict[str, Any]] = {
    "qtha": {"preset": "qtha", "target_modules": ["q_proj", "k_proj", "v_proj"]},
    "sparse": {"preset": "sparse", "target_modules": ["q_proj", "v_proj"]},
    "lora": {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "k_proj", "down_proj"]},
    "ia3": {"peft_type": "IA3"},
    "loha": {"peft_type": "LOHA", "r": 4, "alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    "dora": {"peft_type": "LORA", "use_dora": True, "r": 4, "target_modules": ["q_proj", "v_proj"]},
    "unilora": {"peft_type": "UNILORA", "r": 4, "target_modules": ["q_proj", "v_proj"]},
    "oft": {"peft_type": "OFT", "oft_block_size": 32, "target_modules": ["q_proj", "v_proj"]},
}
"""With a circuit, without one, a plain LoRA, and five methods that are none."""
TEXTS = (
    "3,450 apples and 12 pears, 1999-12-31.", "  two  spaces\n\n\tand a tab", "def f(x): return x ** 2  # it's so",
    "你好，世界 — äöü ß 😀 ﷺ", "<|im_start|>user\nHello<|im_end|>\n",
)  # fmt: skip
CHATS = (
    [{"role": "user", "content": "How are you?"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Bye"},
    ],
)


@dataclass(frozen=True)
class Row:
    """One engine with one export.

    Args:
        adapter: The adapter.
        engine: The engine with its version.
        to: The format.
        same_export: Largest difference of a log-probability to transformers with the same export, in nats.
        itself: The same to transformers with the adapter itself.
        equal_answers: Greedy answers that are transformers' to the last token.
        answers: Greedy answers.
        widest_tie: Largest gap of transformers' log-probabilities where an answer took another token; 0 without.
        other_tokens: Texts and conversations of which the engine makes other tokens or another prompt.
        kept_share: Share of the adapter's gain that the export keeps.
    """

    adapter: str
    engine: str
    to: str
    same_export: float
    itself: float
    equal_answers: int
    answers: int
    widest_tie: float
    other_tokens: int
    kept_share: float | None

    @property
    def is_right(self) -> bool:
        """Whether nothing is beyond its bound."""
        return self.same_export <= TOLERANCE and self.widest_tie <= 2 * TOLERANCE and self.other_tokens == 0


def environment(engine: str) -> Path:
    """The Python of an engine's own environment, made when first asked for; it has none of this interpreter's packages.

    Raises:
        NotInstalledError: If the engine cannot be installed.
    """
    folder = ENVIRONMENTS / f"serving-{engine}"
    requirements = HERE / f"requirements-{engine}.txt"
    python, done = folder / "bin" / "python", folder / "installed.txt"
    if not done.exists() or done.read_text() != requirements.read_text():
        print(f"installing {requirements.read_text().strip()} in {folder}", flush=True)
        venv.create(folder, clear=True, symlinks=True, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        install(engine, [*command, "--requirement", str(requirements)])
        # vLLM asks for these two, whose builds for CUDA do not load beside PyTorch's for CPUs; text needs neither.
        install(engine, [str(python), "-m", "pip", "uninstall", "--quiet", "--yes", "torchaudio", "torchcodec"])
        done.write_text(requirements.read_text())
    return python


def ask(engine: str, job: dict[str, Any]) -> dict[str, Any]:
    """What an engine computes.

    Raises:
        RuntimeError: If it fails, with the end of what it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        command = [str(environment(engine)), str(HERE / "engines.py"), engine, str(answer)]
        own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            command, input=json.dumps(job), capture_output=True, text=True, timeout=SECONDS, check=False, env=own
        )
        if not answer.exists():
            raise RuntimeError(f"{engine} ended with status {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
        found: dict[str, Any] = json.loads(answer.read_text())
    return found


def prefixes(rows: Sequence[Encoded]) -> Iterator[list[int]]:
    """The text before the first and before the last learned token of each row: there the export was measured."""
    for row in rows:
        learned = [at for at, label in enumerate(row["labels"]) if at and label != IGNORED]  # no text before token 0
        for place in (learned[0], learned[-1]):
            yield row["input_ids"][:place]


@torch.no_grad()
def log_probabilities(model: Any, tokens: Sequence[int]) -> torch.Tensor:
    """Log-probabilities (vocabulary,) of the next token."""
    return model(input_ids=torch.tensor([list(tokens)])).logits[0, -1].float().log_softmax(-1)


def farthest(model: Any, wanted: Sequence[Sequence[int]], found: Sequence[dict[Any, float]]) -> float:
    """Largest difference of a log-probability, over the tokens that the engine names."""
    largest = 0.0
    for tokens, named in zip(wanted, found, strict=True):
        own = log_probabilities(model, tokens)
        largest = max(largest, *(abs(own[int(token)].item() - value) for token, value in named.items()))
    return largest


def tie(model: Any, prompt: Sequence[int], own: Sequence[int], other: Sequence[int], end: int) -> float:
    """Gap of the log-probabilities at the first token in which two answers differ; an answer's end is a token."""
    pairs = zip([*own, end], [*other, end], strict=False)
    place, (mine, theirs) = next((at, pair) for at, pair in enumerate(pairs) if pair[0] != pair[1])
    both = log_probabilities(model, [*prompt, *own[:place]])
    return abs(both[mine] - both[theirs]).item()


def written(adapter: Path, reuse: bool) -> dict[str, dict[str, Any]]:
    """Exports an adapter to every format that it has; a plain LoRA's reports are without `lora`, since it is one.

    Args:
        adapter: The adapter's folder.
        reuse: Whether exports that are there already are taken.
    """
    reports: dict[str, dict[str, Any]] = {}
    config = json.loads((adapter / "adapter_config.json").read_text())
    for to in TARGETS:
        if (to == "lora" and is_plain_lora(config)) or (to in ("lora", "gguf") and why_no_lora(config)):
            continue
        kept = adapter.parent / to / "export.json"
        if reuse and kept.exists():
            reports[to] = json.loads(kept.read_text())
            continue
        report = export(adapter, {"to": to, "calibration_tokens": CALIBRATION, **FLOAT32}, force=True)
        reports[to], difference = report.to_json(), report.written_relative_difference
        print(f"{adapter.parent.name} to {to}: read back within {difference:.2g} of the largest logit", flush=True)
    return reports


def trained(name: str, model: str, folder: Path) -> Path:
    """The folder of an adapter, trained if it is not there yet."""
    rate = None if "preset" in ADAPTERS[name] else 1e-2  # a preset has its own
    config = {
        "model": {"name": model, "source": "package", "dtype": "float32", "device": "cpu"},
        "data": {"source": "embedded:chitchat", "train_rows": 256, "validation_rows": 16, "test_rows": 16,
                 "max_length": 48, "overlong": "drop"},
        "adapter": ADAPTERS[name],
        "training": {"max_steps": 12, "batch_size": 4, "gradient_accumulation": 1, "learning_rate": rate},
        "evaluation": {"batch_size": 8, "answers": 1},
        "output": str(folder / name),
        "resume": "auto",
    }  # fmt: skip
    train(build(RunConfig, config, "benchmarks.serving.check"))
    return folder / name / "adapter"


def rows_of(name: str, adapter: Path, engines: Sequence[str], folder: Path, reuse: bool) -> tuple[list[Row], int]:
    """Every engine with every export of an adapter, and how many failed; the base model's GGUF is kept in a folder."""
    reports = written(adapter, reuse)
    config = json.loads((adapter / "adapter_config.json").read_text())
    method = method_name(config)
    plan = plan_export(adapter, {**FLOAT32, "to": "merged"})
    loaded = load_model(plan.model)
    base_gguf = folder / f"{Path(loaded.source.name).name}.gguf"
    if not base_gguf.exists():
        write_model(base_gguf, loaded.model, loaded.tokenizer, "base")
    asked = list(prefixes(load_rows(plan, loaded.tokenizer)[0].held_out(plan.evaluation.split)[:PROMPTS]))
    prompts = asked[::2]
    fit = adapter.parent / "lora" if "lora" in reports else adapter
    # a circuit's merged weights are those of its linear fit; all others merge as they are
    merged = fit if method == OWN else adapter
    same_as = {"lora": fit, "gguf": fit, "merged": merged, "merged-gguf": merged}
    found, failed = [], 0
    for engine in engines:
        for to in ENGINES[engine]:
            if to not in reports and not (to == "lora" and is_plain_lora(config)):
                continue
            base = str(base_gguf) if engine == "llama_cpp" else loaded.source.location
            paths = {
                "gguf": (base, str(adapter.parent / "gguf" / "adapter.gguf")),
                "lora": (base, str(fit)),
                "merged": (str(adapter.parent / "merged"), None),
                "merged-gguf": (str(adapter.parent / "merged-gguf" / "model.gguf"), None),
            }
            job = {
                "model": paths[to][0], "lora": paths[to][1], "prefixes": asked, "prompts": prompts, "top": TOP,
                "new_tokens": NEW_TOKENS, "texts": TEXTS, "chats": CHATS,
            }  # fmt: skip
            print(f"{name} under {engine} from {to}", flush=True)
            try:
                found.append((to, ask(engine, job)))
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(error, flush=True)
                failed += 1
    rows = [_compared(name, adapter, same_as[to], loaded, said(reports, to), to, asked, it) for to, it in found]
    return rows, failed


def _compared(
    name: str, adapter: Path, same: Path, loaded: LoadedModel, report: dict[str, Any], to: str,
    asked: list[list[int]], answer: dict[str, Any],
) -> Row:  # fmt: skip
    """An engine's answer beside transformers' with the same export, and with the adapter itself."""
    prompts, end = asked[::2], loaded.tokenizer.eos_token_id
    with _adapted(loaded, same) as model:
        own = [greedy(model, prompt, {end}, NEW_TOKENS).ids for prompt in prompts]
        others = [[token for token in tokens if token != end] for tokens in answer["answers"]]
        pairs = zip(prompts, own, others, strict=True)
        ties = [tie(model, prompt, mine, theirs, end) for prompt, mine, theirs in pairs if mine != theirs]
        same_export = itself = farthest(model, asked, answer["log_probabilities"])
    if same != adapter:
        with _adapted(loaded, adapter) as model:
            itself = farthest(model, asked, answer["log_probabilities"])
    return Row(
        adapter=name,
        engine=answer["version"],
        to=to,
        same_export=same_export,
        itself=itself,
        equal_answers=len(prompts) - len(ties),
        answers=len(prompts),
        widest_tie=max(ties, default=0.0),
        other_tokens=_other_tokens(loaded.tokenizer, answer),
        kept_share=report["kept_share"],
    )


@contextmanager
def _adapted(loaded: LoadedModel, adapter: Path) -> Iterator[Any]:
    """The base model with an adapter."""
    with quiet_peft(), torch.no_grad():
        model = PeftModel.from_pretrained(loaded.model, str(adapter)).eval()
        yield model
        detach(model)


def said(reports: dict[str, dict[str, Any]], to: str) -> dict[str, Any]:
    """What an export said of its difference to the adapter; a LoRA, which servers take as it is, has none."""
    return reports.get(to, {"kept_share": 1.0})


def _other_tokens(tokenizer: Any, answer: dict[str, Any]) -> int:
    """Texts and conversations of which an engine makes something else; 0 if it was not asked."""
    if answer["tokens"] is None:
        return 0
    tokens = [tokenizer(text).input_ids for text in TEXTS]
    chats = [tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in CHATS]
    pairs = [*zip(tokens, answer["tokens"], strict=True), *zip(chats, answer["chats"], strict=True)]
    return sum(own != other for own, other in pairs)


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| adapter | engine | export | same export | the adapter | equal answers | widest tie | other tokens |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.adapter} | {row.engine} | {row.to} | {row.same_export:.2g} | {row.itself:.2g} "
        f"| {row.equal_answers} of {row.answers} | {row.widest_tie:.2g} | {row.other_tokens} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> int:
    """Runs the check; returns 1 if something is beyond its bound, or an engine cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--adapters", nargs="+", default=list(ADAPTERS), help="names, or folders of adapters")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="an embedded model")
    parser.add_argument("--output", type=Path, default=Path("runs/serve-check"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--reuse", action="store_true", help="take exports that are there already")
    given = parser.parse_args()
    for name in given.adapters:
        if name not in ADAPTERS and not Path(name).is_dir():
            parser.error(f"--adapters {name}: neither a folder nor one of {', '.join(ADAPTERS)}")
    folder = given.output.resolve() / given.model
    folder.mkdir(parents=True, exist_ok=True)
    missing = []
    for engine in given.engines:
        try:
            environment(engine)
        except NotInstalledError as error:
            print(error, flush=True)
            missing.append(engine)
    engines = [engine for engine in given.engines if engine not in missing]
    rows: list[Row] = []
    failed = 0
    for name in given.adapters:
        adapter = trained(name, given.model, folder) if name in ADAPTERS else Path(name).resolve()
        made, fell = rows_of(name, adapter, engines, folder, given.reuse)
        rows, failed = [*rows, *made], failed + fell
        found = {"model": given.model, "tolerance": TOLERANCE, "rows": [asdict(row) for row in rows]}
        write_json(given.results, {"machine": machine(), **found})
    print(table(rows))
    wrong = [row for row in rows if not row.is_right]
    for row in wrong:
        print(f"beyond its bound: {row}")
    return 1 if wrong or missing or failed else 0


if __name__ == "__main__":
    sys.exit(main())
