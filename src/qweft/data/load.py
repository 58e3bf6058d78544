"""Loading the rows of a run: read, split and tokenised."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qweft.data.checks import check_data_config
from qweft.data.config import HELD_OUT, LEAST_HELD_OUT, DataConfig
from qweft.data.conversation import Conversation, text_group
from qweft.data.formats import KEY, format_of, formats_of, renamed, to_conversation, unread_of
from qweft.data.read import beside_training, read_rows
from qweft.data.report import COLUMNS, DataReport, PartReport, fingerprint, shared_note
from qweft.data.split import Share, TooFewRowsError, split
from qweft.data.template import render, shows_tools, with_template
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
    """The training, validation and test rows of a run.

    Args:
        train: Training rows.
        validation: Rows for choosing learning rates and checkpoints.
        test: Rows for the reported results.
        train_conversations: Text of each training row, in the same order.
        validation_conversations: Text of each validation row, in the same order.
        test_conversations: Text of each test row, in the same order.
        report: Counts of rows read, cut and left out.
        tokenizer: Tokenizer that made the rows: the model's, with the template of the config if it has one. Use it
            for prompts too.
        config: The config with the numbers of held-out rows that were used.
    """

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


@dataclass
class _Encoder:
    """Encodes conversations when the split needs them, each at most once, and records what was cut or dropped."""

    tokenizer: Any
    config: DataConfig
    whole: Mapping[Conversation, Encoded] = field(default_factory=dict)
    rows: dict[Conversation, Encoded | None] = field(default_factory=dict)
    cut: set[Conversation] = field(default_factory=set)
    only_last: set[Conversation] = field(default_factory=set)
    dropped: set[Conversation] = field(default_factory=set)
    nothing_learned: set[Conversation] = field(default_factory=set)

    def usable(self, conversation: Conversation) -> bool:
        """Return whether a row has a learned token after `fit`."""
        if conversation not in self.rows:
            self.rows[conversation] = self._encode(conversation)
        return self.rows[conversation] is not None

    def _encode(self, conversation: Conversation) -> Encoded | None:
        limit, overlong = self.config.max_length, self.config.overlong
        whole = self.whole.get(conversation) or tokenise(conversation, self.tokenizer)
        row = fit(whole, limit, overlong)
        long = len(whole["input_ids"]) > limit
        if row is None:
            (self.dropped if long and overlong == "drop" else self.nothing_learned).add(conversation)
        elif long:
            self.cut.add(conversation)
        if row is not None and answer_count(whole) < sum(turn.role == "assistant" for turn in conversation.messages):
            self.only_last.add(conversation)
        return row

    def part(self, conversations: Sequence[Conversation]) -> list[Encoded]:
        return [row for conversation in conversations if (row := self.rows[conversation]) is not None]

    def report(self, conversations: Sequence[Conversation], rows: Sequence[Encoded]) -> PartReport:
        return PartReport(
            rows=len(rows),
            groups=len({conversation.group for conversation in conversations}),
            tokens=total_tokens(rows),
            target_tokens=sum(map(target_tokens, rows)),
            cut=sum(conversation in self.cut for conversation in conversations),
            only_last=sum(conversation in self.only_last for conversation in conversations),
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

    Args:
        config: The data config.
        tokenizer: The model's tokenizer.
        whole: Conversations that are already tokenised: with the template of the config, not cut, without `learn`.

    Raises:
        QweftError: The config is out of range, a source or row cannot be read, or there are too few rows.
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
    every = [row for source in read.of.values() for row in source]
    places = [config.file] if config.file is not None else [each.name for each in shares]
    notes = [*read.notes, *map(beside_training, places), *(shared_note(part, chosen) for part in HELD_OUT)]
    report = DataReport(
        source=config.source,
        rows=len(conversations),
        groups=len({conversation.group for conversation in conversations}),
        max_length=config.max_length,
        dropped=sum(conversation in encoder.dropped for conversation in every),
        nothing_learned=sum(conversation in encoder.nothing_learned for conversation in every),
        left_over=parts.left_over,
        parts={name: encoder.report(part, rows[name]) for name, part in chosen.items()},
        fingerprint=fingerprint(rows),
        held_out=held_out,
        held_out_rows={part: len(source) for part, source in elsewhere.items()},
        too_many_characters=read.too_many_characters,
        asked_elsewhere=parts.asked_elsewhere,
        skipped=read.skipped,
        tools_as_text=_tools_as_text(conversations, tokenizer),
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
    of = {id(row): each.name for each in shares for row in each.conversations}  # equal rows may be in two sources
    counts = {name: Counter(of.get(id(row)) for row in part) for name, part in chosen.items()}
    return {
        each.name: {"rows": len(each.conversations), **{part: counts[part][each.name] for part in chosen}}
        for each in shares
    }


def _tools_as_text(conversations: Sequence[Conversation], tokenizer: Any) -> int:
    count = sum(conversation.has_tools for conversation in conversations)
    return 0 if count and shows_tools(tokenizer) else count


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
    config = encoder.config
    if encoder.rows and not any(encoder.rows.values()):
        text = render(conversations[0].messages, encoder.tokenizer)
        length = len(tokenise(conversations[0], encoder.tokenizer)["input_ids"])
        what = "longer than" if config.overlong == "drop" else "without an answer token within"
        return QweftError(
            f"data {config.source}: no row is left to learn from, all {len(encoder.rows)} are {what} max_length "
            f"{config.max_length} tokens: raise max_length; the first row has {length} tokens: {text[:300]!r}"
        )
    if encoder.dropped or encoder.nothing_learned:
        for conversation in conversations:
            encoder.usable(conversation)  # those that the split did not come to
        out = len(encoder.dropped | encoder.nothing_learned)
        return QweftError(f"{fault} ({out:,} rows are too long: raise max_length {config.max_length})")
    if by_default:
        return QweftError(f"{fault} (where a number is not given, at least {LEAST_HELD_OUT} are held out for each)")
    return fault
