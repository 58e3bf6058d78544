"""Interface of a metric of generated answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qweft.data.conversation import Conversation
from qweft.evaluation.scores import Compared

if TYPE_CHECKING:
    from qweft.evaluation.generation import Answer


@dataclass(frozen=True)
class Both:
    """Both models' answers to the same prompts."""

    base: Sequence["Answer"]
    adapted: Sequence["Answer"]

    @property
    def pairs(self) -> list[tuple["Answer", "Answer"]]:
        """Pairs of the base model's and the adapted model's answers, by row."""
        return list(zip(self.base, self.adapted, strict=True))


@dataclass(frozen=True)
class AnswerMetric:
    """A metric of generated answers, declared by a module of `metrics`.

    Args:
        score: Takes the data's source, the conversations and both models' answers. Returns the scores, one per line of
            the table, and a list with each row's result as JSON can hold it, or `None` for a row that was not scored.
            The list is empty if the metric does not score single rows. Raises `QweftError` if no row can be scored.
        check: Takes the data's source; raises `QweftError` if its data cannot be scored.
        check_rows: Takes the reference answers, before the first answer; raises `QweftError` if none can be scored.
        packages: Packages that the metric needs.
        extra: Extra of qweft that installs them.
    """

    score: Callable[[str, Sequence[Conversation], Both], tuple[list[Compared], list[Any]]]
    check: Callable[[str], None] = lambda source: None
    check_rows: Callable[[Sequence[str]], None] = lambda references: None
    packages: tuple[str, ...] = ()
    extra: str = ""
