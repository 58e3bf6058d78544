"""Public data sets by name: where they are on the hub, and the columns that they have there."""

from collections.abc import Collection
from dataclasses import dataclass

from qweft.errors import QweftError


@dataclass(frozen=True)
class NamedData:
    """A public data set.

    Args:
        name: As its authors write it.
        hub_id: Its place on the hub.
        part: Its configuration there; none where it has one only.
        columns: Those that a row needs, one set of them.
        about: What it is.
    """

    name: str
    hub_id: str
    part: str | None
    columns: tuple[frozenset[str], ...]
    about: str

    @property
    def source(self) -> str:
        """As `datasets` and `read_rows` take it."""
        return self.hub_id if self.part is None else f"{self.hub_id}:{self.part}"

    def check(self, columns: Collection[str], where: str) -> None:
        """See that a row can be of this data set.

        Raises:
            QweftError: If it has none of the sets of columns.
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
    """Return the data set of that name, in any case, whatever split is asked for; none where there is none."""
    name = source.partition("@")[0].casefold()
    return next((each for each in NAMED if name == each.name.casefold()), None)
