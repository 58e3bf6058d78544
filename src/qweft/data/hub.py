"""Data sets on the hub: those that have a name in Qweft, and their rows."""

import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from qweft.errors import QweftError
from qweft.internals.providers import from_the_cache
from qweft.models.resolve import hub_answers, no_answer

HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*(/[\w.-]+)?)(:(?P<part>[\w.-]+))?(@(?P<split>[\w.-]+))?")


@dataclass(frozen=True)
class NamedData:
    """A public data set that has a name in Qweft: its id on the hub as `source`, and one line about it."""

    name: str
    source: str
    about: str


NAMED = (
    NamedData("CPsyCounD", "CAS-SIAT-XinHai/CPsyCoun", "3,134 Chinese counselling dialogues; the paper's"),
    NamedData(
        "R1-Distill-SFT",
        "ServiceNow-AI/R1-Distill-SFT:v1",
        "1.7 million problems with DeepSeek-R1's chains of thought; the paper's",
    ),
    NamedData(
        "Chinese-DeepSeek-R1-Distill-data-110k",
        "Congliu/Chinese-DeepSeek-R1-Distill-data-110k",
        "110,000 Chinese questions with DeepSeek-R1's chains of thought; the paper's",
    ),
    NamedData(
        "MetaMathQA",
        "meta-math/MetaMathQA",
        "395,000 questions with worked answers, made of GSM8K's and MATH's training questions",
    ),
    NamedData("GSM8K", "openai/gsm8k:main", "7,473 word problems with worked answers; GSM8K@test has 1,319 others"),
)


def named(source: str) -> NamedData | None:
    """Return the public data set of a source, case and @SPLIT ignored; `None` if the name is not known."""
    name = source.partition("@")[0].casefold()
    return next((each for each in NAMED if name == each.name.casefold()), None)


def read_hub(source: str, stream: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, row) of a split of a data set on the hub, or of its copy in the local cache."""
    import datasets

    parts = HUB_ID.fullmatch(source)
    assert parts is not None  # `read_rows` takes every other source for a path
    split, number = parts["split"] or "train", 0
    answers = hub_answers(f"datasets/{parts['id']}/resolve/main/README.md")
    try:
        with nullcontext() if answers else from_the_cache():
            rows = datasets.load_dataset(parts["id"], parts["part"], split=split, streaming=stream)
        for number, row in enumerate(rows, 1):
            yield f"{source}, row {number}", dict(row)
    except Exception as fault:  # a connection may break while rows are streamed
        first = next((line.strip() for line in str(fault).splitlines() if line.strip()), type(fault).__name__)
        reason = first[:200].rstrip(".") if answers else no_answer()
        raise QweftError(
            f"data {source}: not a file or folder here, and the hub gave no row {number + 1} of the {split} split "
            f"({reason}); check the name, connect, or give a file of it (data.file for one that has a name)"
        ) from fault
