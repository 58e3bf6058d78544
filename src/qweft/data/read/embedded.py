"""Data sets that come with Python packages."""

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

from qweft.core.errors import QweftError
from qweft.data.read.chitchat import chitchat
from qweft.data.read.gym import gsm_symbolic, gym_rows, gym_task

EMBEDDED = "embedded:"
EMBEDDED_TITLES = {
    "gsm_symbolic": "grade-school word problems with worked answers, made by reasoning-gym of 85 templates",
    "chitchat": "windows of 7,168 human-human conversations (chitchat-dataset)",
    "reasoning_gym:TASK": "any task of reasoning-gym whose entries have a text answer, with its verifier",
}
"""A line about each embedded data set."""
EMBEDDED_DATA: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {"gsm_symbolic": gsm_symbolic, "chitchat": chitchat}
"""Those that have a reader of their own; the tasks of reasoning-gym share one."""


def check_embedded(source: str) -> None:
    """Raise if an embedded data set is not known, or its package is not installed."""
    is_task = gym_task(source) is not None
    if not is_task and source.removeprefix(EMBEDDED) not in EMBEDDED_DATA:
        names = ", ".join(f"{EMBEDDED}{name}" for name in EMBEDDED_TITLES)
        raise QweftError(f"data {source}: unknown; there are {names}")
    package = "reasoning-gym" if is_task else "chitchat-dataset"
    if importlib.util.find_spec(package.replace("-", "_")) is None:
        raise QweftError(f"data {source}: pip install '.[embedded]' for {package}, or give --data.source FILE")


def embedded_rows(source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, row) of "embedded:gsm_symbolic", "embedded:chitchat", or "embedded:reasoning_gym:TASK"."""
    name = source.removeprefix(EMBEDDED)
    if name in EMBEDDED_DATA:
        rows = EMBEDDED_DATA[name]()
    else:
        rows = gym_rows(name.removeprefix("reasoning_gym:"))
    for number, row in enumerate(rows, 1):
        yield f"{source}, row {number}", row
