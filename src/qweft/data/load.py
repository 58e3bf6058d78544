"""Loading the rows of a run: read, split and tokenised."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from qweft.data.checks import check_data_config
from qweft.data.config import HELD_OUT, LEAST_HELD_OUT, DataConfig
from qweft.data.conversation import Conversation, text_group
from qweft.data.formats import KEY, format_of, formats_of, renamed, to_conversation, unread_of
from qweft.data.read import beside_training, read_rows
from qweft.data.report import COLUMNS, DataReport, PartReport, fingerprint, shared_note
from qweft.data.split import Share, TooFewRowsError, split
from qweft.data.template import shows_tools, with_template
from qweft.data.tokens import (
    Encoded,
    answer_count,
    fit,
    learn_all,
    no_end,
    target_tokens,
    tokenise,
    total_tokens,
    windows,
)
from qweft.data.turns import RowError, UnknownFormatError
from qweft.errors import QweftError
from qweft.text import many, progress

PARTS = ("train", *HELD_OUT)


@dataclass(frozen=True)
class Data:
    """The training, validation and test rows of a run."""

    train: list[Encoded]
    validation: list[Encoded]
    test: list[Encoded]
    train_conversations: list[Conversation]
    validation_conversations: list[Conversation]
    test_conversations: list[Conversation]
    report: DataReport
    tokenizer: Any = field(default=None, repr=False, compare=False)
    config: DataConfig = field(default_factory=DataConfig, repr=False, compare=False)

    def rows(self, split: str) -> list[Encoded]:
        """Return the rows that a run reads: for training, validation and, where `split` is "test", for the results."""
        return [*self.train, *self.validation, *(self.test if split == "test" else ())]

    def held_out(self, split: str) -> list[Encoded]:
        """Return the rows of "validation" or "test"."""
        return self.test if split == "test" else self.validation

    def to_answer(self, split: str) -> list[Conversation]:
        """Return a held-out part's texts so that the first ones are of several sources in proportion."""
        texts = self.test_conversations if split == "test" else self.validation_conversations
        counts = [each[split] for each in self.report.sources.values()]
        if sum(counts) != len(texts):  # they have a source of their own
            return texts
        places = [(place + 0.5) / count for count in counts for place in range(count)]
        return [texts[number] for number in sorted(range(len(texts)), key=places.__getitem__)]


class _Fitted(NamedTuple):
    """A conversation as a row; `None` where it is dropped as too long, or where no learned token is left."""

    row: Encoded | None
    is_long: bool
    has_last_only: bool


@dataclass
class _Encoder:
    """Encodes conversations when the split needs them, each at most once."""

    tokenizer: Any
    config: DataConfig
    whole: Mapping[Conversation, Encoded]
    seen: dict[Conversation, _Fitted] = field(default_factory=dict)

    def fitted(self, conversation: Conversation) -> _Fitted:
        if conversation not in self.seen:
            whole = self.whole.get(conversation) or tokenise(conversation, self.tokenizer)
            answers = sum(turn.role == "assistant" for turn in conversation.messages)
            self.seen[conversation] = _Fitted(
                row=fit(whole, self.config.max_length, self.config.overlong),
                is_long=len(whole["input_ids"]) > self.config.max_length,
                has_last_only=answer_count(whole) < answers,
            )
        return self.seen[conversation]

    def usable(self, conversation: Conversation) -> bool:
        """Return whether a row has a learned token after `fit`."""
        return self.fitted(conversation).row is not None

    def part(self, conversations: Sequence[Conversation]) -> list[Encoded]:
        return [row for conversation in conversations if (row := self.fitted(conversation).row) is not None]

    def left_out(self, conversations: Iterable[Conversation]) -> tuple[int, int]:
        """Return the numbers of seen rows that are dropped as too long, and that have no learned token."""
        drops = self.config.overlong == "drop"
        found = [self.seen[each] for each in conversations if each in self.seen]
        dropped = sum(each.row is None and each.is_long and drops for each in found)
        return dropped, sum(each.row is None for each in found) - dropped

    def report(self, conversations: Sequence[Conversation], rows: Sequence[Encoded]) -> PartReport:
        fitted = [self.fitted(conversation) for conversation in conversations]
        return PartReport(
            rows=len(rows),
            groups=len({conversation.group for conversation in conversations}),
            tokens=total_tokens(rows),
            target_tokens=sum(map(target_tokens, rows)),
            cut=sum(each.is_long for each in fitted),
            only_last=sum(each.has_last_only for each in fitted),
            fingerprint=fingerprint({"": rows}),
        )


@dataclass
class _Rows:
    """The rows of all sources, and what was seen while they were read."""

    of: dict[str, list[Conversation]] = field(default_factory=dict)
    too_many_characters: int = 0
    skipped: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    unread: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


@progress("reading the data")
def load_data(config: DataConfig, tokenizer: Any, whole: Mapping[Conversation, Encoded] | None = None) -> Data:
    """Read, split and tokenise the data of a run.

    Only rows that the split needs are tokenised. The numbers of validation and test rows are exact: a row that is too
    long or has no token to learn is skipped, and the next row takes its place.
    """
    check_data_config(config)
    tokenizer = with_template(tokenizer, config.template)
    read = _read(config, tokenizer)
    shares = [Share(each.source, read.of[each.source], each.weight, each.rows) for each in config.training_sources]
    conversations = [row for each in shares for row in each.conversations]
    # Skipped rows count: the others are then split as they are once those are mended.
    sizes = {source: len(rows) + len(read.skipped.get(source, ())) for source, rows in read.of.items()}
    sizes[config.source] = sum(sizes[each.name] for each in shares)
    by_default = tuple(part for part in HELD_OUT if getattr(config, f"{part}_rows") is None)
    config = config.sized({part: sizes[config.source_of(part)] for part in HELD_OUT})
    encoder = _Encoder(tokenizer, config, whole or {})
    held_out = {part: source for part in HELD_OUT if (source := config.source_of(part)) != config.source}
    numbers = {part: getattr(config, f"{part}_rows") for part in PARTS}
    elsewhere = {part: read.of[source] for part, source in held_out.items()}
    try:
        parts = split(shares, numbers, config.split_seed, encoder.usable, elsewhere)
    except TooFewRowsError as fault:
        raise _too_few(fault, encoder, conversations, by_default) from fault
    chosen = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    rows = {name: encoder.part(part) for name, part in chosen.items()}
    if config.learn == "all":
        rows["train"] = [learn_all(row) for row in rows["train"]]
    places = [config.file] if config.file is not None else [each.name for each in shares]
    notes = [*read.notes, *map(beside_training, places), *(shared_note(part, chosen) for part in HELD_OUT)]
    dropped, nothing_learned = encoder.left_out(row for source in read.of.values() for row in source)
    report = DataReport(
        source=config.source,
        rows=len(conversations),
        groups=len({conversation.group for conversation in conversations}),
        max_length=config.max_length,
        dropped=dropped,
        nothing_learned=nothing_learned,
        left_over=parts.left_over,
        parts={name: encoder.report(part, rows[name]) for name, part in chosen.items()},
        fingerprint=fingerprint(rows),
        held_out=held_out,
        held_out_rows={part: len(source) for part, source in elsewhere.items()},
        too_many_characters=read.too_many_characters,
        asked_elsewhere=parts.asked_elsewhere,
        skipped=read.skipped,
        tools_as_text=0 if shows_tools(tokenizer) else sum(conversation.has_tools for conversation in conversations),
        by_default=by_default,
        sources={} if config.sources is None else _counts(shares, chosen),
        no_end="" if all(conversation.is_text for conversation in conversations) else no_end(tokenizer),
        wanted=config.train_rows if len(rows["train"]) < (config.train_rows or 0) else None,
        notes=tuple(filter(None, notes)),
        unread=dict(read.unread.most_common(COLUMNS + 1)),
    )
    train, validation, test = (list(part) for part in chosen.values())
    return Data(rows["train"], rows["validation"], rows["test"], train, validation, test, report, tokenizer, config)


def _counts(shares: Sequence[Share], chosen: Mapping[str, Sequence[Conversation]]) -> dict[str, dict[str, int]]:
    """Return the rows of each of several sources, and those in each part, by the source's name."""
    of = {id(row): each.name for each in shares for row in each.conversations}  # two sources may have equal rows
    counts = {name: Counter(of.get(id(row)) for row in part) for name, part in chosen.items()}
    return {
        each.name: {"rows": len(each.conversations), **{part: counts[part][each.name] for part in chosen}}
        for each in shares
    }


def _read(config: DataConfig, tokenizer: Any) -> _Rows:
    """Read all sources, plain texts in windows."""
    read = _Rows()
    own = {each.source for each in config.training_sources}
    parts = 1 + sum(config.source_of(p) == config.source and getattr(config, f"{p}_rows") != 0 for p in HELD_OUT)
    for source in config.places:
        rows = read.of[source] = []
        faults: list[tuple[str, str]] = []
        texts = left_out = 0
        for _, conversation in _conversations(config, source, faults, read):
            texts += 1
            if source in own and not has_room(conversation, config):
                left_out += 1
            else:
                rows += windows(conversation, tokenizer, config.max_length)
        read.too_many_characters += left_out
        if faults:
            read.skipped[source] = faults
        if not rows:
            short = " of at most so many characters as data.max_characters says" if left_out else ""
            first = f"; none of {many(len(faults), 'row')} can be read: {faults[0][1]}" if faults else ""
            raise QweftError(f"data {source}: there are no rows{short} in it{first}")
        if own == {source} and texts < parts:
            # whole texts could not fill the parts, so each piece is a group
            rows[:] = [replace(row, group=text_group(row.messages[0])) if row.is_text else row for row in rows]
    return read


def read_conversations(config: DataConfig) -> Iterator[tuple[str, Conversation]]:
    """Yield (format, conversation) of each row of the training sources, as `load_data` reads them."""
    for each in config.training_sources:
        yield from _conversations(config, each.source, [], _Rows())


def _conversations(
    config: DataConfig, source: str, skipped: list[tuple[str, str]], read: _Rows
) -> Iterator[tuple[str, Conversation]]:
    """Yield (format, conversation) of each row of a source; `max_rows` and `file` are those of training sources."""
    faults = skipped if config.skip_bad_rows else None
    own = next((each for each in config.training_sources if each.source == source), None)
    columns, key = config.columns, KEY
    if own is not None and own.columns and config.sources is not None:
        columns, key = own.columns, f"data.sources[{config.sources.index(own)}].columns"
    formats = formats_of(columns, key)
    limits = (None, None) if own is None else (config.max_rows, config.file)
    some_read = False
    try:
        for where, row in read_rows(source, *limits, faults, read.notes):
            try:
                named = renamed(row, columns, where, key)
                form = format_of(named, where, formats)
                conversation = to_conversation(named, where, form)
            except RowError as fault:
                if faults is None:
                    raise
                faults.append((fault.where, fault.what))
            else:
                some_read = True
                read.unread.update(unread_of(named, form))
                yield form.name, conversation
    except RowError as fault:
        if isinstance(fault, UnknownFormatError) and not some_read:
            raise  # leaving such rows out would leave none
        raise QweftError(f"{fault}; --data.skip_bad_rows true leaves such rows out") from fault


def has_room(conversation: Conversation, config: DataConfig) -> bool:
    """Return whether a row of a training source is within `max_characters`."""
    return config.max_characters is None or conversation.characters <= config.max_characters


def _too_few(
    fault: TooFewRowsError, encoder: _Encoder, conversations: Sequence[Conversation], by_default: Sequence[str]
) -> QweftError:
    """Return the error for too few rows, with what left them out."""
    out = [each for each in conversations if not encoder.usable(each)]
    if out:
        length = len(tokenise(out[0], encoder.tokenizer)["input_ids"])
        too_long = (
            f"{many(len(out), 'row')} left out as too long for max_length {encoder.config.max_length}; raise it: the "
            f"first has {length:,} tokens"
        )
        is_all = len(out) == len(conversations)
        return QweftError(f"data {encoder.config.source}: {too_long}" if is_all else f"{fault} ({too_long})")
    if by_default:
        return QweftError(f"{fault} (where a number is not given, at least {LEAST_HELD_OUT} are held out for each)")
    return fault
