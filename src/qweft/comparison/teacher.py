"""The teacher of a positive control: a frozen adapter, planted in a copy of the base model, that gives the targets."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from qweft.adapter.attach import adapter_config, attach
from qweft.adapter.branch import Branch
from qweft.adapter.layer import QwthnLinear
from qweft.comparison.config import TeacherConfig
from qweft.comparison.method_kinds import core_of
from qweft.comparison.planted import start_of
from qweft.data.batches import Collator
from qweft.data.tokens import IGNORED, Encoded
from qweft.errors import QweftError
from qweft.evaluation.loss import Targets, Taught, judged, logits_of
from qweft.method.stated import stated
from qweft.text import progress

ADAPTER = "default"
MATRIX = "quantum_weight"
"""Q, which the dose multiplies."""
LINEAR = "linear_weight"
"""K, which some forms have: the part of a teacher that is no circuit's."""
ROWS = 16
"""Training rows on which the KL divergence is set."""
TOLERANCE, LARGEST_ERROR = 0.01, 0.03
"""Relative error of that divergence: what is sought, and what is taken where half precision has none as near."""
ATTEMPTS = 20


@dataclass(frozen=True)
class Teacher:
    """A planted teacher.

    Args:
        config: What was asked for.
        model: The base model with the teacher's adapter, frozen and in evaluation mode.
        targets: Gives its logits at the targets of rows.
        scale: The factor on E that gives the wanted divergence.
        kl: The divergence from the base model at dose 1, in nats per target token.
        planted_kl: The same at the config's dose.
    """

    config: TeacherConfig
    model: Any
    targets: Targets
    scale: float
    kl: float
    planted_kl: float

    def told(self) -> dict[str, Any]:
        """Returns the record for results.json."""
        return {
            "core": core_of("", self.config.adapter),
            "dose": self.config.dose,
            "gain": self.config.gain,
            "maps": self.config.maps,
            "near": self.config.near,
            "scale": self.scale,
            "kl_at_dose_1": round(self.kl, 5),
            "kl": round(self.planted_kl, 5),
        }

    def described(self) -> str:
        """Returns a line for the terminal."""
        core = core_of("", self.config.adapter)
        return f"teacher: {core} at dose {self.config.dose:g}, {self.planted_kl:.3f} nats from the base model"

    @torch.no_grad()
    def hand_over(self, model: nn.Module, specification: Mapping[str, Any], seed: int) -> None:
        """Lets a student start from the teacher's maps; one with the teacher's core also near that core.

        Beside such a student the others start as near, without the circuit: those with K get the teacher's K with the
        same noise, and their Q starts at zero, as it does in a gate. A student whose adapter differs in more than its
        core keeps its own start.

        Args:
            model: The base model with the student's adapter.
            specification: The student's adapter.
            seed: Of the noise that takes its core away from the teacher's.
        """
        start = start_of(self.config, specification)
        if start == "own":
            return
        generator = torch.Generator().manual_seed(seed)
        for own, given in zip(branches(model), branches(self.model), strict=True):
            own.compress.load_state_dict(given.compress.state_dict())
            own.expand.load_state_dict(given.expand.state_dict())
            if self.config.near is None:
                continue
            trained = dict(own.core.named_parameters())
            for name, tensor in given.core.named_parameters():
                noise = torch.randn(tensor.shape, generator=generator) * self.config.near
                if start == "maps and core" or (name == LINEAR and name in trained):
                    trained[name].copy_(tensor + noise.to(tensor))
            if start == "maps" and MATRIX in trained:
                trained[MATRIX].zero_()
        _forget(model)


def layers(model: nn.Module) -> list[QwthnLinear]:
    """Returns the adapted layers, in the model's order."""
    return [module for module in model.modules() if isinstance(module, QwthnLinear)]


def branches(model: nn.Module) -> list[Branch]:
    """Returns the branches of the adapted layers, in the model's order."""
    return [layer.branch_of(ADAPTER) for layer in layers(model)]


@progress("planting the teacher")
def plant(
    config: TeacherConfig, untouched: nn.Module, copy: nn.Module, rows: Sequence[Encoded], pad: int, batch_size: int
) -> Teacher:
    """Plants the teacher in a copy of the base model.

    Its adapter is drawn at random. Then E is multiplied by a factor, found by bisection, with which

        KL = mean over targets of sum over v of p_teacher(v) log(p_teacher(v) / p_base(v))

    is `config.kl` at dose 1. Then Q is multiplied by the dose, and E stays.

    Args:
        config: Its adapter, divergence, dose and seed.
        untouched: The base model.
        copy: The same once more, which the teacher keeps.
        rows: Training rows.
        pad: Token that pads rows.
        batch_size: Rows per batch.

    Raises:
        QweftError: If no factor gives that divergence.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        specification = {**stated(config.adapter), "init_weights": False}
        model = attach(copy, adapter_config(specification)).eval().requires_grad_(False)
    matrices = [branch.core.get_parameter(MATRIX) for branch in branches(model)]
    for matrix in matrices:
        matrix.mul_(config.gain)
    rows, begun = rows[:ROWS], [_writes(branch).clone() for branch in branches(model)]
    before = _logs(untouched, rows, pad, batch_size)

    def divergence() -> float:
        _forget(model)
        after = _logs(model, rows, pad, batch_size)
        return float((after.exp() * (after - before)).sum(-1).mean())

    def at(scale: float) -> float:
        for branch, first in zip(branches(model), begun, strict=True):
            _writes(branch).copy_(first * scale)
        return divergence()

    scale, kl = scaled_to(config.kl, at)
    if config.dose == 1:
        return Teacher(config, model, Taught(model), scale, kl, kl)
    for matrix in matrices:
        matrix.mul_(config.dose)
    return Teacher(config, model, Taught(model), scale, kl, divergence())


def scaled_to(wanted: float, at: Callable[[float], float]) -> tuple[float, float]:
    """Returns a scale with three digits, and the divergence at it, which is within 1% of what is wanted, or 3%.

    A small branch has a divergence that grows with the square of its scale, which gives the next try. Where that leaves
    the bracket, the bracket is halved. In half precision the divergence jumps from scale to scale; where none is as
    near, the nearest is taken, up to 3%.

    Raises:
        QweftError: If it is not found.
    """
    scale, low, high = 1.0, 0.0, math.inf
    tries: dict[float, float] = {}
    while scale not in tries and len(tries) < ATTEMPTS:
        found = tries[scale] = at(scale)
        if abs(found - wanted) <= TOLERANCE * wanted:
            return scale, found
        low, high = (scale, high) if found < wanted else (low, scale)
        tried = scale * math.sqrt(min(16.0, max(1 / 16, wanted / max(found, 1e-12))))
        if not low < tried < high:
            tried = (low + high) / 2
        scale = float(f"{tried:.3g}")  # processes that round otherwise agree all the same
    nearest = min(tries, key=lambda tried: abs(tries[tried] - wanted))
    if abs(tries[nearest] - wanted) <= LARGEST_ERROR * wanted:
        at(nearest)  # the teacher keeps the scale that was tried last
        return nearest, tries[nearest]
    raise QweftError(
        f"teacher.kl {wanted:g}: no size of the planted branch diverges by so much from the base model (at {scale:g} "
        f"times its start {found:.3g} nats); choose another kl, or more target_modules"
    )


def _logs(model: nn.Module, rows: Sequence[Encoded], pad: int, batch_size: int) -> torch.Tensor:
    """Returns the log-probabilities of the tokens at the targets of the rows, (targets, vocabulary)."""
    found, collate = [], Collator(pad)
    with judged(model):
        for place in range(0, len(rows), batch_size):
            batch = collate(rows[place : place + batch_size])
            found.append(logits_of(model, batch)[:, :-1][batch["labels"][:, 1:] != IGNORED].float().log_softmax(-1))
    return torch.cat(found)


def _writes(branch: Branch) -> torch.Tensor:
    """Returns a trained tensor of E, in which E is linear."""
    return next(iter(branch.expand.parameters()))


def _forget(model: nn.Module) -> None:
    for layer in layers(model):
        layer.forget_prepared(ADAPTER)
