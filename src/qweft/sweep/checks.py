"""What the configuration of a sweep may hold."""

from dataclasses import replace

from qweft.errors import QweftError
from qweft.evaluation.checks import check_evaluation
from qweft.sweep.config import SweepConfig
from qweft.sweep.space import axes_of
from qweft.training.checks import check_training


def check_sweep(config: SweepConfig) -> None:
    """Check the sections, the numbers and the space.

    Raises:
        QweftError: Naming the key, the value, and what it may be.
    """
    check_training(config.training)
    check_evaluation(replace(config.evaluation, split="validation"), config.data)
    for name in ("trials", "at_once", "max_parameters", "workers"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise QweftError(f"{name} must be at least 1, got {value}")
    if config.seconds is not None and not config.seconds > 0:
        raise QweftError(f"seconds must be above 0, got {config.seconds}; leave it out for no limit")
    if config.seed < 0:
        raise QweftError(f"seed must be at least 0, got {config.seed}")
    if "rival" in config.adapter:
        raise QweftError(
            "adapter.rival: a sweep is of the adapters of this package and of PEFT; qweft compare has rivals"
        )
    for axis in axes_of(config):
        if axis.section == "adapter" and axis.key in ("preset", "peft_type") and axis.key not in config.adapter:
            raise QweftError(
                f"space.{axis.name} varies, so adapter must name a {axis.key}, not another kind of adapter"
            )
        if config.sampler == "grid" and axis.choices is None:
            raise QweftError(
                f"space.{axis.name} is a range without steps, of which there is no grid; give it values or a step"
            )
