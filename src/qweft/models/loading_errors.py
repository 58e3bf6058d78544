"""Errors of transformers and torch at loading, each as one sentence with a way out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from qweft.core.errors import OutOfMemoryError, QweftError, first_line, memory_said
from qweft.models.causal import DECODER_HINT
from qweft.models.find import ModelSource


class KnownError(NamedTuple):
    """What is wrong, and the way out."""

    reason: str
    remedy: str


UNKNOWN_ARCHITECTURE = KnownError(
    "its architecture is none that transformers loads as a decoder", f"update transformers, or {DECODER_HINT}"
)
KNOWN_ERRORS = {
    "trust_remote_code": KnownError(
        "its folder holds Python code of its own, which is not run unasked",
        "read that code, then give --trust-remote-code",
    ),
    "weights_only": KnownError(
        "a .bin file is a pickle of more than tensors, which could run code",
        "convert it to safetensors where you trust it",
    ),
    "does not recognize this architecture": UNKNOWN_ARCHITECTURE,
    "Unrecognized": UNKNOWN_ARCHITECTURE,
}
"""By words of an error of transformers or torch."""


@contextmanager
def explain_errors(source: ModelSource, problem: str) -> Iterator[None]:
    """Raise what transformers raises in the block as one sentence: the problem, the reason and a way out."""
    try:
        yield
    except QweftError:
        raise
    except Exception as fault:
        memory = memory_said(fault)
        if memory is not None:
            raise OutOfMemoryError(
                f"model {source.name}: the memory is too small ({_shorten(memory)}); load it with model.quantization "
                "or on another model.device, or choose a smaller model"
            ) from fault
        known = _recognise(fault) or KnownError(first_line(fault), source.remedy)
        raise QweftError(f"model {source.name}: {problem} ({_shorten(known.reason)}); {known.remedy}") from fault


def _recognise(fault: Exception) -> KnownError | None:
    message = str(fault)
    for words, known in KNOWN_ERRORS.items():
        if words in message:
            return known
    return None


def _shorten(reason: str) -> str:
    return reason[:300].rstrip(".")
