"""Preparation of embedded models: their pieces joined, dequantised, and saved in a folder of the cache."""

import hashlib
import io
import shutil
import sys
import tempfile
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from qweft.core.errors import QweftError
from qweft.core.progress import progress
from qweft.models.packages import MARK, EmbeddedModel, installed_file, is_prepared, prepared_folder
from qweft.models.quiet import quiet

SAME_MATRIX = 0.1
"""Maximum relative distance of two copies of one quantised embedding; for different matrices it is above 1."""
COPIED_BYTES = 1 << 22
"""Bytes that are copied at a time."""
READABLE_BY_ALL = 0o644


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
        gguf = Path(name, "model.gguf")
        converted = Path(name, "done")
        _join_pieces(model, gguf)
        convert(gguf, converted)
        (converted / MARK).touch()
        for path in converted.iterdir():
            path.chmod(READABLE_BY_ALL)  # safetensors makes files its owner's alone, but a cache may be shared
        try:
            converted.rename(final)
        except OSError:
            if not is_prepared(model):  # else another process was faster
                raise
    return final


def _join_pieces(model: EmbeddedModel, gguf: Path) -> None:
    """Write the GGUF file of a model from its pieces in packages; raise if its hash is another than the known one."""
    with gguf.open("w+b") as file:
        for package, member in model.pieces:
            path = installed_file(package, member)
            if path is not None:  # a missing piece changes the hash
                with path.open("rb") as piece:
                    shutil.copyfileobj(piece, file, COPIED_BYTES)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != model.sha256:
        raise QweftError(
            f"{model.packages} holds other weights than the known ones of {model.alias} (SHA-256 {sha256[:16]}..., "
            f"expected {model.sha256[:16]}...): install {' '.join(model.requirements)} anew, without dependencies"
        )


def convert(gguf: Path, folder: Path) -> None:
    """Save the model and tokenizer of a GGUF file in a folder, with float32 weights as safetensors."""
    options = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
    # The progress bar of the GGUF reader ignores the settings of transformers.
    with quiet(), redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **options)
        model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **options)
        tie_twin_embeddings(model)
        # The weights are float32 now; with these flags, saving and training would treat them as quantised.
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.hf_quantizer = None
        model.is_quantized = False
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def tie_twin_embeddings(model: Any) -> None:
    """Tie embeddings A (in) and B (out) as the more precise B if a GGUF file holds one matrix twice.

    It does if |A - B| <= `SAME_MATRIX` |B|.
    """
    head = model.get_output_embeddings()
    table = model.get_input_embeddings()
    if head is None or head.weight is table.weight or head.weight.shape != table.weight.shape:
        return
    distance = torch.dist(head.weight, table.weight)
    if distance > SAME_MATRIX * torch.linalg.vector_norm(head.weight):
        return
    with torch.no_grad():
        table.weight.copy_(head.weight)
    model.config.tie_word_embeddings = True
    model.tie_weights(recompute_mapping=True)
