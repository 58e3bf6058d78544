"""What a metric of generated answers declares, and the answers that it gets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qweft.data.conversation import Conversation
from qweft.evaluation.generation import Answer
from qweft.evaluation.scores import Compared


@dataclass(frozen=True)
class Both:
    """The answers of both models to the same prompts.

    Args:
        base: The base model's.
        adapted: The adapted model's.
    """

    base: Sequence[Answer]
    adapted: Sequence[Answer]

    @property
    def pairs(self) -> list[tuple[Answer, Answer]]:
        """By row: the base model's answer and the adapted one's."""
        return list(zip(self.base, self.adapted, strict=True))


@dataclass(frozen=True)
class AnswerMetric:
    """What a module of `metrics` declares.

    Args:
        score: From (source of the data, what was asked, answers) to scores, which are the lines of the table, and to
            what was found of each row as JSON holds it, `None` for a row that was not judged; no list where it judges
            no single rows. Raises `QweftError` where it has nothing to go by.
        check: Sees that data of this source can be scored; raises `QweftError`.
        packages: Packages that it needs.
        extra: Our extra that installs them.
    """

    score: Callable[[str, Sequence[Conversation], Both], tuple[list[Compared], list[Any]]]
    check: Callable[[str], None] = lambda source: None
    packages: tuple[str, ...] = ()
    extra: str = ""
