"""What a planted teacher needs, and what each student takes from it: checks of a positive control, without PyTorch."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

from qweft.comparison.config import ComparisonConfig, TeacherConfig
from qweft.comparison.method_kinds import core_of, differences, maps_of
from qweft.comparison.summary import Summary
from qweft.errors import QweftError
from qweft.method.names import form_of, function_of
from qweft.method.specification import check_specification
from qweft.method.stated import stated

Start = Literal["maps and core", "maps", "own"]

LARGEST_DOSE = 100.0
"""The planted core is at full strength at dose 1, and this many times that is far from any question on it."""


def start_of(teacher: TeacherConfig, specification: Mapping[str, Any]) -> Start:
    """Returns what a student starts from: the teacher's maps and (near) its core, its maps, or a start of its own.

    A student whose adapter differs from the teacher's in more than the core has its own start.

    Args:
        teacher: The teacher's config.
        specification: The student's adapter.
    """
    core = core_of("", dict(specification))
    if not teacher.maps or core is None or differences(dict(specification), stated(teacher.adapter)):
        return "own"
    is_near = teacher.near is not None and core == core_of("", teacher.adapter)
    return "maps and core" if is_near else "maps"


def starts_said(teacher: TeacherConfig, methods: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the line on what the students start from.

    Args:
        teacher: The teacher's config.
        methods: Their adapters by name.
    """
    near = teacher.near is not None
    words = {
        "maps and core": f"from the teacher's maps and near its core (noise {teacher.near:g})" if teacher.near else
        "from the teacher's maps and core",
        "maps and K": "from its maps and near its K",
        "maps": "from its maps" if near else "from the teacher's maps",
        "own": "as without a teacher",
    }  # fmt: skip
    of_teacher, found = core_of("", teacher.adapter), dict[str, list[str]]()
    for name, adapter in methods.items():
        start: str = start_of(teacher, adapter)
        if start == "maps" and near and _has_k(of_teacher) and _has_k(core_of("", dict(adapter))):
            start = "maps and K"
        found.setdefault(start, []).append(name)
    return "students: " + "; ".join(f"{', '.join(found[start])} {words[start]}" for start in words if start in found)


def _has_k(core: str | None) -> bool:
    return core == "linear" or (core is not None and form_of(core) == "linear")


def worth_said(kl: float | None, summary: Mapping[str, Summary], margin: float | None) -> str:
    """Returns a warning where all that was planted is worth no more than the margin, so that hardly a yes can come.

    Args:
        kl: The teacher's divergence from the base model, in nats a target; `None` without one.
        summary: From `summarise`.
        margin: The margin of equivalence in percent; `None` if none was stated.
    """
    base = next((entry.eval_loss for entry in summary.values() if entry.kind == "base"), None)
    if kl is None or margin is None or not base or not 100 * kl / base <= margin:
        return ""
    return (
        f"The teacher is {kl:.3g} nats from the base model (on its training rows), {100 * kl / base:.2g}% of the loss: "
        f"hardly anything planted can be worth more than the margin of {margin:g}%. Raise teacher.kl, or lower "
        "equivalent_within."
    )


def hands_over_more(teacher: TeacherConfig) -> bool:
    """Whether the controls of a near student start elsewhere than by themselves: their K, and Q at zero."""
    core = core_of("", teacher.adapter)
    is_usual_gate = core is not None and form_of(core) == "gated" and teacher.adapter.get("start") != "scaled"
    return teacher.near is not None and not is_usual_gate


def check_teacher(config: ComparisonConfig) -> None:
    """Checks the planted teacher, after the methods.

    Raises:
        QweftError: If its adapter is none of this package's, or has no Q, or a number is out of range; it has fields
            without an adapter; `near` is for no method; or the comparison measures or keeps what is meant for the
            rows' own tokens.
    """
    teacher = config.teacher
    if not teacher.adapter:
        _check_nothing_stated(teacher)
        return
    try:
        check_specification(teacher.adapter)
    except QweftError as error:
        raise QweftError(f"teacher.{error}" if str(error).startswith("adapter") else f"teacher: {error}") from error
    core, maps = core_of("", teacher.adapter), maps_of("", teacher.adapter)
    if core is None or maps is None or function_of(core) is None or form_of(core) == "weighted":
        raise QweftError(
            f"teacher.adapter has the core {core}, and the dose multiplies Q; choose quantum_gated, or another core "
            "with Q"
        )
    if maps[1] == "basis":
        raise QweftError("teacher.adapter has expand basis, whose size is fixed; choose dense, mpo, subspace or sparse")
    for name, least, most in (("kl", 1e-6, math.inf), ("dose", 0.0, LARGEST_DOSE), ("near", 0.0, math.inf)):
        value = getattr(teacher, name)
        if value is not None and not (least <= value <= most and value < math.inf):
            bounds = f"at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
            raise QweftError(f"teacher.{name} must be {bounds}, got {value}")
    if not 0 < teacher.gain < math.inf:
        raise QweftError(
            f"teacher.gain must be above 0, got {teacher.gain}; for a teacher without its core set teacher.dose to 0"
        )
    if not 0 <= teacher.seed < 2**32:
        raise QweftError(f"teacher.seed must be a whole number from 0 to 4294967295, got {teacher.seed}")
    _check_beside(config)
    _check_near(teacher, {name: method.adapter for name, method in config.methods.items()})


def _check_nothing_stated(teacher: TeacherConfig) -> None:
    usual = TeacherConfig()
    for field in fields(teacher):
        value = getattr(teacher, field.name)
        if value != getattr(usual, field.name):
            raise QweftError(
                f"teacher.{field.name} {value} is for a planted teacher, and there is none; give teacher.adapter, or "
                f"leave teacher.{field.name} out"
            )


def _check_near(teacher: TeacherConfig, methods: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise if `near` is for no method: it would look as if the planted core could not be found."""
    if teacher.near is None:
        return
    if not teacher.maps:
        raise QweftError(
            f"teacher.near {teacher.near:g} needs teacher.maps true: a core is near the teacher's only between its "
            "maps; leave one of the two out"
        )
    if "maps and core" in {start_of(teacher, adapter) for adapter in methods.values()}:
        return
    core = core_of("", teacher.adapter)
    same = [name for name, adapter in methods.items() if core_of("", dict(adapter)) == core]
    why = f"none has the core {core}"
    if same:
        apart = differences(dict(methods[same[0]]), stated(teacher.adapter))
        why = f"methods.{same[0]} differs from it in {', '.join(apart)}"
    raise QweftError(
        f"teacher.near {teacher.near:g} is for a method with the teacher's adapter, and there is none: {why}; give one "
        "method the adapter of the teacher, or leave near out"
    )


def _check_beside(config: ComparisonConfig) -> None:
    """Raise for what a comparison does not do with a teacher's targets."""
    if config.training.packing:
        raise QweftError(
            "training.packing true puts several rows into one, and a teacher is asked row by row; leave it out"
        )
    timed = next((name for name, method in config.methods.items() if method.match_time), None)
    if timed is not None:
        raise QweftError(f"methods.{timed}.match_time: a step is timed without the teacher; leave one of the two out")
    if config.budget is not None:
        raise QweftError(
            f"budget {config.budget}: a step is timed without the teacher; leave the budget or the teacher out"
        )
    if config.recommend:
        raise QweftError(
            "recommend true keeps the best adapter, and a teacher's targets are no data to keep one for; leave "
            "recommend or the teacher out"
        )
