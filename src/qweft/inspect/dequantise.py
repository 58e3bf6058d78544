"""Trained circuits replaced by classical fits, and the share of the adapter's gain that each fit keeps."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch

from qweft.adapter.cores import Measure
from qweft.circuit import Circuit, expectation_values
from qweft.core.errors import QweftError
from qweft.data.tokens import Encoded, target_tokens
from qweft.evaluation.loss import score_rows
from qweft.evaluation.on_device import circuit_layers, on_device
from qweft.evaluation.scores import CLEAR, loss_of, ratio
from qweft.inspect.layers import fitted
from qweft.inspect.measures import REPLACED

KINDS = tuple(REPLACED)
LEAST_ROWS = 4
"""Two to fit and two to judge, the fewest with a standard error."""
MOST_TERMS = 2048
"""Most terms of a fit: 2,000 terms take a second or more for each circuit."""


def uploads_of(circuit: Circuit) -> list[int]:
    """Return how often the circuit uploads each of its inputs."""
    uploads = Counter(gate.index for gate in circuit.gates if gate.source == "input")
    return [uploads[index] for index in range(circuit.inputs)]


def count_terms(kind: str, circuit: Circuit) -> int:
    """Return the number of terms: 1, n + 1, (n + 1) (n + 2) / 2, or the product over inputs of 2 U + 1 (U uploads)."""
    if kind == "fourier":
        return math.prod(2 * uploads + 1 for uploads in uploads_of(circuit))
    return terms(kind, circuit, torch.zeros(1, circuit.inputs)).shape[1]


def terms(kind: str, circuit: Circuit, c: torch.Tensor) -> torch.Tensor:
    """Return a fit's terms for every token; fourier: products of 1, cos(m c_i), sin(m c_i) (PRA 103, 032430, 2021)."""
    found = torch.ones_like(c[:, :1])
    if kind == "fourier":
        for column, uploads in zip(c.unbind(1), uploads_of(circuit), strict=True):
            angles = column[:, None] * torch.arange(1, uploads + 1, dtype=c.dtype, device=c.device)
            own = torch.cat([torch.ones_like(c[:, :1]), angles.cos(), angles.sin()], 1)
            found = (found.unsqueeze(2) * own.unsqueeze(1)).flatten(1)
        return found
    if kind != "constant":
        found = torch.cat([found, c], 1)
    if kind == "quadratic":
        left, right = torch.triu_indices(c.shape[1], c.shape[1], device=c.device)
        found = torch.cat([found, c[:, left] * c[:, right]], 1)
    return found


def in_place(kind: str, coefficients: torch.Tensor) -> Measure:
    """Return a fit that is measured in place of its circuit: at each token, in float64, in the dtype of c."""

    def measure(circuit: Circuit, c: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        flat = c.detach().reshape(-1, circuit.inputs).cpu().double()
        return (terms(kind, circuit, flat) @ coefficients).reshape(*c.shape[:-1], circuit.qubits).to(c)

    return measure


BATCH = 8
"""Rows in a batch; results do not depend on it."""


@dataclass(frozen=True)
class Replacement:
    """The adapter with all of its circuits replaced by one kind of fit."""

    terms: int
    loss: float
    kept: float | None
    kept_error: float | None
    unexplained: float


@dataclass(frozen=True)
class Dequantised:
    """A trained adapter beside itself with classical fits in its circuits' places."""

    circuits: int
    rows_fitted: int
    rows_judged: int
    tokens: int
    base: float
    adapter: float
    gain: float
    gain_error: float | None
    fits: Mapping[str, Replacement]
    left_out: Mapping[str, str]


def dequantise(model: Any, rows: Sequence[Encoded], pad_token_id: int) -> Dequantised:
    """Replace circuits by fits to the first half of the rows, if these have few terms; return losses on the second."""
    cores: dict[str, Any] = dict(circuit_layers(model))
    rows = [row for row in rows if target_tokens(row)]
    if len(rows) < LEAST_ROWS:
        raise QweftError(f"dequantise needs at least {LEAST_ROWS} rows with targets, got {len(rows)}; raise rows")
    half = len(rows) // 2
    judge = partial(score_rows, rows=rows[half:], pad_token_id=pad_token_id, batch_size=BATCH)
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in cores}

    def record(name: str, circuit: Circuit, c: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        parts[name].append(c.detach().reshape(-1, circuit.inputs).cpu().double())
        return expectation_values(circuit, c, angles)

    with _instead(model, {name: partial(record, name) for name in cores}):
        score_rows(model, rows[:half], pad_token_id, BATCH)
        ends = {name: sum(map(len, each)) for name, each in parts.items()}
        adapter = judge(model)
    seen: dict[str, tuple[Circuit, torch.Tensor, torch.Tensor, int]] = {}
    for name, core in cores.items():
        if 0 < ends[name] < sum(map(len, parts[name])):  # no token reached the others
            c = torch.cat(parts[name])
            q = expectation_values(core.circuit, c, core.angles.detach().cpu().double())
            seen[name] = core.circuit, c, q, ends[name]
    with model.disable_adapter():
        base = judge(model)
    gain, error = ratio([(one.total - two.total, one.targets) for one, two in zip(base, adapter, strict=True)])
    if not math.isfinite(gain):
        raise QweftError("the adapter's loss is not a number, so no gain can be told; train it with a lower rate")
    is_clear = gain > CLEAR * (error or 0.0)
    fits: dict[str, Replacement] = {}
    left_out: dict[str, str] = {}
    tokens = min(count for *_, count in seen.values())
    for kind in KINDS:
        count = max(count_terms(kind, circuit) for circuit, *_ in seen.values())
        if count > (most := min(MOST_TERMS, tokens)):
            left_out[kind] = f"it has {count:,} terms, and at most {most:,} are fitted to so many tokens"
            continue
        made = {name: fitted(terms(kind, circuit, c), q, end) for name, (circuit, c, q, end) in seen.items()}
        with _instead(model, {name: in_place(kind, coefficients) for name, (coefficients, _) in made.items()}):
            judged = judge(model)
        if not math.isfinite(loss := loss_of(judged).loss):
            left_out[kind] = "with it the loss is beyond what a number holds"
            continue
        kept, kept_error = None, None
        if is_clear:
            shares = zip(base, adapter, judged, strict=True)
            kept, kept_error = ratio([(one.total - new.total, one.total - two.total) for one, two, new in shares])
        missed = median(each for _, each in made.values())
        fits[kind] = Replacement(count, loss, kept, kept_error, missed)
    losses = loss_of(base).loss, loss_of(adapter).loss
    return Dequantised(len(seen), half, len(rows) - half, tokens, *losses, gain, error, fits, left_out)


@contextmanager
def _instead(model: Any, measures: Mapping[str, Measure]) -> Iterator[None]:
    """Compute the circuit of each named layer by a function of its own."""
    with ExitStack() as stack:
        for name, measure in measures.items():
            stack.enter_context(on_device(model, measure, [name]))
        yield
