"""Data checked before training: format, lengths, overlap, what is cut, held out and learned."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Any

from qweft.data.config import DataConfig
from qweft.data.conversation import Conversation, format_of, to_conversation
from qweft.data.load import Data, check_data_config, has_room, load_data
from qweft.data.read import read_rows
from qweft.data.template import with_template
from qweft.data.tokens import IGNORED, Encoded, fit, learn_all, target_tokens, tokenise, windows
from qweft.errors import QweftError

STRETCH = 12
"""Tokens in a row that are looked for elsewhere."""
SHARE = 0.5
"""A row in which so many of its stretches are training's is told."""


@dataclass(frozen=True)
class Overlap:
    """How much of a held-out part stands in the training rows too.

    Args:
        rows: Rows of the part.
        prompts: Rows whose prompt is that of a training row; case and white space do not count.
        answers: Rows whose answer is.
        stretches: Rows of which at least half of all stretches of 12 tokens stand in training rows.
    """

    rows: int
    prompts: int
    answers: int
    stretches: int

    @property
    def is_none(self) -> bool:
        """Whether nothing is shared."""
        return not (self.prompts or self.answers or self.stretches)


def overlap(train: Sequence[Conversation], held_out: Sequence[Conversation], tokenizer: Any) -> Overlap:
    """Look for the held-out rows in the training rows; templates are not looked at, nor are system messages.

    Args:
        train: Training rows.
        held_out: Validation or test rows.
        tokenizer: It makes the tokens of the stretches, so that languages without spaces have some.
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
    return _plain("\n".join(message.content for message in row.prompt if message.role != "system"))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _stretches(row: Conversation, tokenizer: Any) -> Iterator[int]:
    """Hashes of all runs of `STRETCH` tokens of each message."""
    for text in _texts(row):
        ids = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        for first in range(len(ids) - STRETCH + 1):
            yield hash(tuple(ids[first : first + STRETCH]))


def _texts(row: Conversation) -> Iterable[str]:
    return (_plain(message.content) for message in row.messages if message.role != "system")


SHOWN = 3
"""Rows that are shown as the model sees them."""


@dataclass(frozen=True)
class Lengths:
    """Numbers of tokens: the least, the quartiles, nine tenths, and the most."""

    least: int
    quarter: int
    median: int
    three_quarters: int
    nine_tenths: int
    most: int

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "Lengths":
        """Of at least one number."""
        cuts = quantiles([*numbers] if len(numbers) > 1 else [*numbers, *numbers], n=20, method="inclusive")
        quarter, median, three_quarters, nine_tenths = (round(cuts[k]) for k in (4, 9, 14, 17))
        return cls(min(numbers), quarter, median, three_quarters, nine_tenths, max(numbers))


@dataclass(frozen=True)
class Stretch:
    """Some tokens of a row as text, and whether they are learned."""

    text: str
    is_learned: bool


@dataclass(frozen=True)
class DataCheck:
    """What there is to say of some data.

    Args:
        source: As the user wrote it.
        model: The model whose tokenizer and template made the tokens.
        formats: Rows of each format.
        turns: Answers of a row: number of rows by number of answers; none of plain texts.
        rows: Rows, a long plain text as several.
        lengths: Tokens of a row, as a whole.
        learned: Of these, the tokens that are learned.
        max_length: The limit.
        overlong: What happens to longer rows.
        longer: Rows that are longer.
        lost: Rows of which the limit leaves no learned token.
        split: What the split gives, in words; or why it gives nothing.
        splits: Whether the split gives all three parts.
        overlaps: For validation and test what they share with training.
        shown: Some training rows, stretch by stretch.
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
    splits: bool
    overlaps: dict[str, Overlap]
    shown: tuple[tuple[Stretch, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return asdict(self)


def check_data(config: DataConfig, tokenizer: Any, model: str) -> DataCheck:
    """Read all of the data, tokenise all of it, and split it as a run would.

    Args:
        config: The data.
        tokenizer: The model's.
        model: What the model is called.

    Raises:
        QweftError: A row cannot be read. That too few rows are left for the split is told, and no error.
    """
    check_data_config(config)
    made_with = with_template(tokenizer, config.template)
    formats: Counter[str] = Counter()
    turns: Counter[int] = Counter()
    whole: list[Encoded] = []
    tokenised: dict[Conversation, Encoded] = {}
    for where, row in read_rows(config.source, config.max_rows, config.file):
        conversation = to_conversation(row, where)
        formats[format_of(row)] += 1
        if not conversation.is_text:
            turns[sum(message.role == "assistant" for message in conversation.messages)] += 1
        if has_room(conversation, config):
            pieces = list(windows(conversation, made_with, config.max_length))
            rows = [tokenise(piece, made_with) for piece in pieces]
            tokenised |= zip(pieces, rows, strict=True)
            whole += map(learn_all, rows) if config.learn == "all" else rows
    if not whole:
        raise QweftError(f"data {config.source}: there are no rows that could be used in it")
    data, split = _split(config, tokenizer, tokenised)
    return DataCheck(
        config.source, model, dict(formats.most_common()), dict(sorted(turns.items())), len(whole),
        Lengths.of([len(row["input_ids"]) for row in whole]), Lengths.of([target_tokens(row) for row in whole]),
        config.max_length, config.overlong, sum(len(row["input_ids"]) > config.max_length for row in whole),
        sum(fit(row, config.max_length, "cut") is None for row in whole), split, data is not None,
        _overlaps(data, tokenizer), tuple(stretches(row, tokenizer) for row in (data.train if data else whole)[:SHOWN]),
    )  # fmt: skip


def _split(config: DataConfig, tokenizer: Any, tokenised: Mapping[Conversation, Encoded]) -> tuple[Data | None, str]:
    try:
        data = load_data(config, tokenizer, tokenised)
    except QweftError as fault:
        return None, str(fault)
    return data, data.report.describe()


def _overlaps(data: Data | None, tokenizer: Any) -> dict[str, Overlap]:
    if data is None:
        return {}
    parts = {"validation": data.validation_conversations, "test": data.test_conversations}
    return {name: overlap(data.train_conversations, part, tokenizer) for name, part in parts.items() if part}


def stretches(row: Encoded, tokenizer: Any) -> tuple[Stretch, ...]:
    """Return a row as text, apart where learned tokens begin and end; joined it is the row's text.

    The tokens are decoded together and not one by one, since a character may be several tokens.
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
