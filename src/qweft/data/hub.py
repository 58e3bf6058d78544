"""Data sets on the hub: those that have a name in Qweft, and their rows."""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from qweft.data.tables import of_table
from qweft.errors import QweftError
from qweft.internals.providers import datasets_are_offline, from_the_cache
from qweft.models.resolve import hub_answers, no_answer


@dataclass(frozen=True)
class NamedData:
    """A public data set that has a name in Qweft.

    Args:
        name: Name, in its authors' spelling.
        hub_id: Its id on the hub.
        part: Its configuration on the hub; `None` if it has only one.
        columns: Alternative sets of columns; a row needs all columns of one set.
        about: One line that describes it.
    """

    name: str
    hub_id: str
    part: str | None
    columns: tuple[frozenset[str], ...]
    about: str

    @property
    def source(self) -> str:
        """The hub id, with ":configuration" if there is one, as `read_rows` takes it."""
        return self.hub_id if self.part is None else f"{self.hub_id}:{self.part}"

    def check(self, columns: Collection[str], where: str) -> None:
        """Check that the columns of a row are those of this data set.

        Raises:
            QweftError: The row has none of the sets of columns.
        """
        if not any(wanted <= set(columns) for wanted in self.columns):
            wanted = ", or ".join(" + ".join(sorted(each)) for each in self.columns)
            raise QweftError(
                f"{where}: this is not {self.name}, whose rows have {wanted}; its columns are "
                f"{', '.join(map(str, columns)) or 'none'}; give the data set's own file, or leave out its name"
            )


def _columns(*sets: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(each.split()) for each in sets)


NAMED = (
    NamedData(
        "CPsyCounD", "CAS-SIAT-XinHai/CPsyCoun", None, _columns("instruction output history"),
        "3,134 Chinese counselling dialogues; the paper's",
    ),
    NamedData(
        "R1-Distill-SFT", "ServiceNow-AI/R1-Distill-SFT", "v1",
        _columns("reannotated_messages", "problem reannotated_assistant_content"),
        "1.7 million problems with DeepSeek-R1's chains of thought; the paper's",
    ),
    NamedData(
        "Chinese-DeepSeek-R1-Distill-data-110k", "Congliu/Chinese-DeepSeek-R1-Distill-data-110k", None,
        _columns("input reasoning_content content"),
        "110,000 Chinese questions with DeepSeek-R1's chains of thought; the paper's",
    ),
    NamedData(
        "MetaMathQA", "meta-math/MetaMathQA", None, _columns("query response"),
        "395,000 questions with worked answers, made of GSM8K's and MATH's training questions",
    ),
    NamedData(
        "GSM8K", "openai/gsm8k", "main", _columns("question answer"),
        "7,473 word problems with worked answers; GSM8K@test has 1,319 others",
    ),
)  # fmt: skip


def named(source: str) -> NamedData | None:
    """Return the public data set of a source, case and @SPLIT ignored; `None` if the name is not known."""
    name = source.partition("@")[0].casefold()
    return next((each for each in NAMED if name == each.name.casefold()), None)


Located = tuple[str, dict[str, Any]]
"""(where, row): the place of a row for errors, such as "data.jsonl, row 3", and its columns."""

HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*(/[\w.-]+)?)(:(?P<part>[\w.-]+))?(@(?P<split>[\w.-]+))?")


def read_hub(source: str, stream: bool, key: str) -> Iterator[Located]:
    """Yield the rows of a split of a data set on the hub, or of its copy in the local cache.

    Args:
        source: As in the config: ID[:PART][@SPLIT].
        stream: Whether rows are fetched as they are read, instead of the whole data set.
        key: Key of the source, for errors.

    Raises:
        QweftError: There is no such data set, or neither the hub nor the cache gives it.
    """
    import datasets

    found = HUB_ID.fullmatch(source)
    assert found is not None  # `read_rows` takes every other source for a path
    split = found["split"] or "train"
    if (Path(datasets.__file__).parent / "packaged_modules" / found["id"]).is_dir():  # it would read every file here
        raise QweftError(
            f"data {source}: a reader of the package datasets, and no data set; give a file or folder by its path (as "
            f"./{found['id']}), or the id of a data set on the hub"
        )
    if os.path.lexists(found["id"]):  # datasets looks here first
        raise QweftError(
            f"data {source}: the current folder has {found['id']}, which would be read in place of the hub's; start in "
            f"another folder, or give ./{found['id']} where you mean it"
        )
    is_kept_offline = datasets_are_offline()
    answers = not is_kept_offline and hub_answers(f"datasets/{found['id']}/resolve/main/README.md")
    try:
        with nullcontext() if answers else from_the_cache():
            rows = datasets.load_dataset(found["id"], found["part"], split=split, streaming=stream)
    except Exception as fault:
        told = _first_line(fault) if answers else no_answer()
        if is_kept_offline:
            told = "HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set"
        raise QweftError(
            f"data {source}: neither a file or folder here, nor a data set whose {split} split the hub gave ({told}); "
            f"check the name, connect, {_instead(source, key)}"
        ) from fault
    features = getattr(rows, "features", None)  # a stream may not know them
    as_written = of_table(features.arrow_schema if features else ())
    each = iter(rows)
    for number in count(1):
        try:
            row = next(each, None)
        except Exception as fault:  # a connection that breaks while rows are streamed
            raise QweftError(
                f"data {source}: row {number} could not be read ({_first_line(fault)}); check the connection, and run "
                "it again"
            ) from fault
        if row is None:
            return
        yield f"{source}, row {number}", as_written(dict(row))


def _first_line(fault: Exception) -> str:
    reason = next((line.strip() for line in str(fault).splitlines() if line.strip()), type(fault).__name__)
    return reason[:200].rstrip(".")


def _instead(source: str, key: str) -> str:
    """Return the end of an error message: what to do if the hub cannot be reached."""
    known = next((each.name for each in NAMED if each.source == source.partition("@")[0]), None)
    if known is None:
        return "or use embedded:gsm_symbolic"
    return f"or give {known}'s own file with data.file" if key == "data.source" else f"or give a file of it as {key}"
