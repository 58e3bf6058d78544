"""Check of data before training: formats, lengths, split, overlap, and examples of learned text."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Any

from qweft.data.checks import check_data_config
from qweft.data.config import DataConfig
from qweft.data.conversation import Conversation
from qweft.data.load import has_room, load_data, read_conversations
from qweft.data.template import with_template
from qweft.data.tokens import IGNORED, Encoded, fit, learn_all, target_tokens, tokenise, windows

STRETCH = 12
"""Length of the token n-grams that are compared for overlap."""
SHARE = 0.5
"""A row is reported if at least this share of its n-grams is in training rows."""


@dataclass(frozen=True)
class Overlap:
    """Overlap of a held-out part with the training rows; case and white space are ignored.

    Args:
        rows: Number of rows in the part.
        prompts: Rows whose prompt is also the prompt of a training row; plain texts have none.
        answers: Rows whose answer is also the answer of a training row.
        stretches: Rows with at least half of their 12-token n-grams in training rows.
    """

    rows: int
    prompts: int
    answers: int
    stretches: int

    @property
    def is_none(self) -> bool:
        """Whether there is no overlap."""
        return not (self.prompts or self.answers or self.stretches)


def overlap(train: Sequence[Conversation], held_out: Sequence[Conversation], tokenizer: Any) -> Overlap:
    """Return the overlap of held-out rows with training rows; templates and system messages are ignored.

    Args:
        train: Training rows.
        held_out: Validation or test rows.
        tokenizer: Tokenizer for the n-grams; words would fail in languages without spaces.
    """
    prompts, answers = {_prompt(row) for row in train}, {_plain(row.answer) for row in train}
    known = {stretch for row in train for stretch in _stretches(row, tokenizer)}
    return Overlap(
        len(held_out),
        sum(_prompt(row) in prompts for row in held_out if not row.is_text),
        sum(_plain(row.answer) in answers for row in held_out),
        sum(_is_known(list(_stretches(row, tokenizer)), known) for row in held_out),
    )


def _is_known(stretches: Sequence[int], known: set[int]) -> bool:
    return bool(stretches) and sum(stretch in known for stretch in stretches) >= SHARE * len(stretches)


def _prompt(row: Conversation) -> str:
    return _plain("\n".join(message.said for message in row.prompt if message.role != "system"))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _stretches(row: Conversation, tokenizer: Any) -> Iterator[int]:
    """Yield the hashes of all n-grams of `STRETCH` tokens in each message."""
    for text in _texts(row):
        ids = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        for first in range(len(ids) - STRETCH + 1):
            yield hash(tuple(ids[first : first + STRETCH]))


def _texts(row: Conversation) -> Iterable[str]:
    return (_plain(message.said) for message in row.messages if message.role != "system")


SHOWN = 3
"""Number of example rows."""


@dataclass(frozen=True)
class Lengths:
    """Summary of token counts: minimum, quartiles, 90th percentile, maximum."""

    least: int
    quarter: int
    median: int
    three_quarters: int
    nine_tenths: int
    most: int

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "Lengths":
        """Summarise at least one count."""
        cuts = quantiles([*numbers] if len(numbers) > 1 else [*numbers, *numbers], n=20, method="inclusive")
        quarter, median, three_quarters, nine_tenths = (round(cuts[k]) for k in (4, 9, 14, 17))
        return cls(min(numbers), quarter, median, three_quarters, nine_tenths, max(numbers))


@dataclass(frozen=True)
class Stretch:
    """A span of a row as text, and whether its tokens are learned."""

    text: str
    is_learned: bool


@dataclass(frozen=True)
class DataCheck:
    """Findings of a check of data.

    Args:
        source: Source as the user wrote it.
        model: Name of the model with the tokenizer and chat template.
        formats: Number of rows by format.
        turns: Number of rows by number of answers, without plain texts.
        rows: Number of rows within `max_characters`; a long plain text counts as several.
        lengths: Tokens of a row.
        learned: Learned tokens of a row.
        max_length: Maximum tokens of a row.
        overlong: "cut" or "drop": what to do with longer rows.
        longer: Number of rows longer than `max_length`.
        lost: Number of rows that would have no learned token after a cut at `max_length`.
        split: Description of the split.
        held_out: Number of rows held out for validation and test.
        skipped: Place and fault of each row that cannot be read and is left out.
        overlaps: Overlap with the training rows, for validation and test.
        shown: Spans of the first training rows.
        sources: Of several sources each one's rows, and how many of them are in each part, by name.
    """

    source: str
    model: str
    formats: dict[str, int]
    turns: dict[int, int]
    rows: int
    lengths: Lengths
    learned: Lengths
    max_length: int
    overlong: str
    longer: int
    lost: int
    split: str
    held_out: dict[str, int]
    skipped: list[tuple[str, str]]
    overlaps: dict[str, Overlap]
    shown: tuple[tuple[Stretch, ...], ...]
    sources: dict[str, dict[str, int]]

    def to_json(self) -> dict[str, Any]:
        """Return the findings as a dict for JSON."""
        return asdict(self)


def check_data(
    config: DataConfig, tokenizer: Any, model: str, check_rows: Callable[[list[Encoded]], None] | None = None
) -> DataCheck:
    """Read and tokenise all rows of the source, and split them as a run would.

    Args:
        config: The data config.
        tokenizer: The model's tokenizer.
        model: Name of the model.
        check_rows: Raises an error where the model cannot read a row of any part.

    Raises:
        QweftError: As `load_data`: whatever a run would refuse.
    """
    check_data_config(config)
    made_with = with_template(tokenizer, config.template)
    formats: Counter[str] = Counter()
    turns: Counter[int] = Counter()
    whole: list[Encoded] = []
    tokenised: dict[Conversation, Encoded] = {}
    lost = 0
    for name, conversation in read_conversations(config):
        formats[name] += 1
        if not conversation.is_text:
            turns[sum(message.role == "assistant" for message in conversation.messages)] += 1
        if has_room(conversation, config):
            pieces = list(windows(conversation, made_with, config.max_length))
            rows = [tokenise(piece, made_with) for piece in pieces]
            tokenised |= zip(pieces, rows, strict=True)
            lost += sum(fit(row, config.max_length, "cut") is None for row in rows)
            whole += map(learn_all, rows) if config.learn == "all" else rows
    data = load_data(config, tokenizer, tokenised)
    if check_rows is not None:
        check_rows([*data.train, *data.validation, *data.test])
    held_out = {"validation": data.validation_conversations, "test": data.test_conversations}
    return DataCheck(
        config.source, model, dict(formats.most_common()), dict(sorted(turns.items())), len(whole),
        Lengths.of([len(row["input_ids"]) for row in whole]), Lengths.of([target_tokens(row) for row in whole]),
        config.max_length, config.overlong, sum(len(row["input_ids"]) > config.max_length for row in whole),
        lost, data.report.describe(),
        {name: len(part) for name, part in held_out.items()},
        [each for faults in data.report.skipped.values() for each in faults],
        {name: overlap(data.train_conversations, part, tokenizer) for name, part in held_out.items() if part},
        tuple(stretches(row, tokenizer) for row in data.train[:SHOWN]), data.report.sources,
    )  # fmt: skip


def stretches(row: Encoded, tokenizer: Any) -> tuple[Stretch, ...]:
    """Return the spans of a row as text, learned and not learned in turn; joined they are the row's text.

    The tokens of a span are decoded together, since a character may be several tokens.
    """
    found: list[Stretch] = []
    ids, labels = row["input_ids"], row["labels"]
    first = 0
    for place in range(1, len(ids) + 1):
        if place == len(ids) or (labels[place] == IGNORED) != (labels[first] == IGNORED):
            text = str(tokenizer.decode(ids[first:place]))
            found.append(Stretch(text, labels[first] != IGNORED))
            first = place
    return tuple(found)
