"""The rows of a run: read, split and tokenised, and the report of what was cut or left out."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qweft.data.checks import check_data_config
from qweft.data.config import HELD_OUT, DataConfig, SourceConfig
from qweft.data.conversation import Conversation, folded
from qweft.data.formats import KEY, format_of, formats_of, renamed, shown_name, to_conversation, unread_of
from qweft.data.read import beside_training, located_rows
from qweft.data.split import Source, Split, TooFewRowsError, split
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
from qweft.data.turns import RowError
from qweft.errors import QweftError
from qweft.text import many, progress

LEAST_HELD_OUT, MOST_HELD_OUT = 8, 64
"""Limits of a held-out part whose size is not given."""
SHOWN = 10
"""Skipped rows that the terminal shows; the record has all of them."""
COLUMNS = 12
"""Columns that are not read and are named."""
LONG_ANSWER = 40
"""Characters from which on an answer that stands in training rows, too, is told; a class is shorter."""


@dataclass(frozen=True)
class PartReport:
    """Counts and fingerprint of one part of a split; of `only_last` rows only the last answer is learned."""

    rows: int
    groups: int
    tokens: int
    target_tokens: int
    cut: int
    only_last: int
    fingerprint: str


@dataclass(frozen=True)
class DataReport:
    """Counts of the data of a run; a long plain text is several rows."""

    source: str
    rows: int
    groups: int
    max_length: int
    parts: dict[str, PartReport]
    fingerprint: str
    formats: dict[str, int]  # rows by format
    left_out: dict[str, int]  # rows in no part, by reason
    held_out: dict[str, str]  # source of a part that has its own
    sources: dict[str, dict[str, int]]
    skipped: list[tuple[str, str]]  # place and fault of each bad row
    unread: dict[str, int]  # rows by column that is not read
    notes: list[str]

    def judged_without(self, part: str) -> list[str]:
        """Return what a reader of the losses of a part should know: what was left out, and how many were cut."""
        cut = self.parts[part].cut
        cut_rows = [f"{many(cut, 'row')} cut at {self.max_length:,} tokens (data.max_length)"] if cut else []
        return [*cut_rows, *(f"left out of all the data: {line}" for line in self._left_out())]

    def _left_out(self) -> list[str]:
        return [f"{many(count, 'row')} {reason}" for reason, count in self.left_out.items()]

    def describe(self) -> str:
        """Return a few lines for the terminal, with all counts of cut and left-out rows that are not 0."""
        rows, groups = many(self.rows, "row"), many(self.groups, "group")
        lines = [f"data {self.source}: {rows} in {groups}, sha256 {self.fingerprint[:12]}"]
        for name, part in self.parts.items():
            of = f" of {self.held_out[name]}" if name in self.held_out else ""
            use = "of them learned" if name == "train" else "measured"
            line = f"  {name}: {many(part.rows, 'row')} in {many(part.groups, 'group')}{of}, {part.tokens:,} tokens, "
            line += f"{part.target_tokens:,} {use}"
            if part.cut:
                line += f"; {many(part.cut, 'row')} cut at {self.max_length:,} tokens"
            if part.only_last:
                line += f"; {many(part.only_last, 'row')} with only the last answer (the chat template rewrites others)"
            lines.append(line)
        for name, counts in self.sources.items():
            of_parts = ", ".join(f"{counts[part]:,} {part}" for part in self.parts)
            unused = counts["rows"] - sum(counts[part] for part in self.parts)
            lines.append(f"  {name}: {many(counts['rows'], 'row')}, {of_parts}, {unused:,} not used")
        lines += [f"  left out: {line}" for line in self._left_out()]
        lines += [f"    {where}: {fault}" for where, fault in self.skipped[:SHOWN]]
        if len(self.skipped) > SHOWN:
            lines.append(f"    ... and {len(self.skipped) - SHOWN:,} more")
        lines += [f"  note: {line}" for line in self.notes]
        if self.unread:
            named = [f"{shown_name(name)} ({many(count, 'row')})" for name, count in self.unread.items()]
            more = ["and more"] if len(named) > COLUMNS else []
            lines.append(f"  columns that are not read: {', '.join(named[:COLUMNS] + more)}")
        return "\n".join(lines)


def fingerprint(parts: Mapping[str, Sequence[Encoded]]) -> str:
    """Return the SHA-256, in hex, of the token ids and labels of all parts, with the parts' names and sizes."""
    digest = hashlib.sha256()
    for name, rows in parts.items():
        digest.update(f"{name} {len(rows)}\n".encode())
        for row in rows:
            digest.update(array("q", [len(row["input_ids"]), *row["input_ids"], *row["labels"]]).tobytes())
    return digest.hexdigest()


def shared_note(name: str, parts: Mapping[str, Sequence[Conversation]]) -> str:
    """Return what a held-out part shares with the rows of "train", case and white space ignored; empty if nothing."""

    def question(row: Conversation) -> str:
        return folded("\n".join(message.said for message in row.prompt if message.role != "system"))

    prompts = {question(row) for row in parts["train"] if not row.is_text}
    answers = {text for row in parts["train"] if len(text := folded(row.answer)) >= LONG_ANSWER}
    count = sum(question(row) in prompts or folded(row.answer) in answers for row in parts[name])
    what = "the prompt or the long answer of a training row, which flatters the result"
    return f"{many(count, f'{name} row')} repeat{'s' if count == 1 else ''} {what}" if count else ""


PARTS = ("train", *HELD_OUT)


@dataclass(frozen=True)
class Data:
    """The training, validation and test rows of a run, and the conversations of each by part."""

    train: list[Encoded]
    validation: list[Encoded]
    test: list[Encoded]
    conversations: dict[str, list[Conversation]]
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
        texts = self.conversations[split]
        counts = [each[split] for each in self.report.sources.values()]
        if sum(counts) != len(texts):  # they have a source of their own
            return texts
        places = [(place + 0.5) / count for count in counts for place in range(count)]
        return [texts[number] for number in sorted(range(len(texts)), key=places.__getitem__)]


@dataclass
class Encoder:
    """Encodes conversations when the split needs them, each once."""

    tokenizer: Any
    config: DataConfig
    whole: dict[int, Encoded] = field(default_factory=dict)

    def encode(self, conversation: Conversation) -> Encoded:
        """Return all tokens of a conversation."""
        if id(conversation) not in self.whole:
            self.whole[id(conversation)] = tokenise(conversation, self.tokenizer)
        return self.whole[id(conversation)]

    def row(self, conversation: Conversation) -> Encoded | None:
        """Return a conversation as a row; `None` where it is dropped as too long, or no learned token is left."""
        return fit(self.encode(conversation), self.config.max_length, self.config.overlong)

    def usable(self, conversation: Conversation) -> bool:
        """Return whether a conversation is a row."""
        return self.row(conversation) is not None

    def is_long(self, conversation: Conversation) -> bool:
        """Return whether a conversation has more tokens than a row may have."""
        return len(self.encode(conversation)["input_ids"]) > self.config.max_length

    def report(self, conversations: Sequence[Conversation], rows: Sequence[Encoded]) -> PartReport:
        """Return the counts of a part."""
        return PartReport(
            rows=len(rows),
            groups=len({conversation.group for conversation in conversations}),
            tokens=total_tokens(rows),
            target_tokens=sum(map(target_tokens, rows)),
            cut=sum(map(self.is_long, conversations)),
            only_last=sum(answer_count(self.encode(each)) < each.answers for each in conversations),
            fingerprint=fingerprint({"": rows}),
        )


@progress("reading the data")
def load_data(config: DataConfig, tokenizer: Any) -> Data:
    """Read, split and tokenise the data of a run; held-out rows are exactly as many as asked for."""
    tokenizer = with_template(tokenizer, config.template)
    return split_data(config, read_sources(config, tokenizer), Encoder(tokenizer, config))


def split_data(config: DataConfig, sources: Mapping[str, Source], encoder: Encoder) -> Data:
    """Split and tokenise rows that were read."""
    shares = [sources[each.source] for each in config.training_sources]
    conversations = [row for share in shares for row in share.conversations]
    # Skipped rows count: the others are then split as they are once those are mended.
    sizes = {name: len(source.conversations) + len(source.skipped) for name, source in sources.items()}
    sizes[config.source] = sum(sizes[share.name] for share in shares)
    tenths = {part: sizes[config.source_of(part)] // 10 for part in HELD_OUT}
    held_out_rows = {part: min(MOST_HELD_OUT, max(LEAST_HELD_OUT, tenth)) for part, tenth in tenths.items()}
    given, config = config, config.with_held_out(held_out_rows)
    held_out = {part: source for part in HELD_OUT if (source := config.source_of(part)) != config.source}
    numbers = {part: getattr(config, f"{part}_rows") for part in PARTS}
    elsewhere = {part: sources[source].conversations for part, source in held_out.items()}
    try:
        found = split(shares, numbers, config.split_seed, encoder.usable, elsewhere)
    except TooFewRowsError as fault:
        out = [each for each in conversations if not encoder.usable(each)]
        if not out:
            raise
        raise QweftError(
            f"{fault} ({many(len(out), 'row')} left out as too long: raise data.max_length {config.max_length})"
        ) from fault
    parts = {name: getattr(found, name) for name in PARTS}
    rows = {name: [row for each in part if (row := encoder.row(each)) is not None] for name, part in parts.items()}
    if config.learn == "all":
        rows["train"] = [learn_all(row) for row in rows["train"]]
    unread = sum((source.unread for source in sources.values()), Counter[str]())
    report = DataReport(
        source=config.source,
        rows=len(conversations),
        groups=len({conversation.group for conversation in conversations}),
        max_length=config.max_length,
        parts={name: encoder.report(part, rows[name]) for name, part in parts.items()},
        fingerprint=fingerprint(rows),
        formats=dict(sum((share.formats for share in shares), Counter[str]()).most_common()),
        left_out=_left_out(sources, encoder, found),
        held_out=held_out,
        sources={} if config.sources is None else _counts(shares, parts),
        skipped=[(fault.where, fault.what) for source in sources.values() for fault in source.skipped],
        unread=dict(unread.most_common(COLUMNS + 1)),
        notes=[
            *(note for source in sources.values() for note in source.notes),
            *_advice(given, conversations, found, encoder.tokenizer),
            *filter(None, (shared_note(part, parts) for part in HELD_OUT)),
        ],
    )
    return Data(**rows, conversations=parts, report=report, tokenizer=encoder.tokenizer, config=config)


def _left_out(sources: Mapping[str, Source], encoder: Encoder, parts: Split) -> dict[str, int]:
    """Return the numbers of rows in no part by their reason, without zeros."""
    length, drops = f"{encoder.config.max_length:,}", encoder.config.overlong == "drop"
    read = [row for source in sources.values() for row in source.conversations]
    tried = [row for row in read if id(row) in encoder.whole and not encoder.usable(row)]
    dropped = sum(map(encoder.is_long, tried)) if drops else 0
    counts = {
        f"longer than {length} tokens": dropped,
        f"without an answer token in the first {length}": len(tried) - dropped,
        "left over from groups held out": parts.left_over,
        "with more characters than data.max_characters": sum(source.too_many_characters for source in sources.values()),
        "whose group or prompt is held out in another source": parts.asked_elsewhere,
        "that cannot be read (data.skip_bad_rows)": sum(len(source.skipped) for source in sources.values()),
    }
    return {reason: count for reason, count in counts.items() if count}


def _counts(shares: Sequence[Source], chosen: Mapping[str, Sequence[Conversation]]) -> dict[str, dict[str, int]]:
    """Return the rows of each of several sources, and those in each part, by the source's name."""
    of = {id(row): each.name for each in shares for row in each.conversations}  # two sources may have equal rows
    counts = {name: Counter(of.get(id(row)) for row in part) for name, part in chosen.items()}
    return {
        each.name: {"rows": len(each.conversations), **{part: counts[part][each.name] for part in chosen}}
        for each in shares
    }


def _advice(given: DataConfig, rows: Sequence[Conversation], parts: Split, tokenizer: Any) -> Iterator[str]:
    """Yield what a user may want to change."""
    by_default = [part for part in HELD_OUT if getattr(given, f"{part}_rows") is None]
    if by_default:
        settings = " and ".join(f"data.{part}_rows" for part in by_default)
        limits = f"at least {LEAST_HELD_OUT} and at most {MOST_HELD_OUT}"
        yield f"a tenth of the rows is held out for each part, but {limits}; {settings} set other numbers"
    held_out, trained = sum(len(getattr(parts, part)) for part in by_default), len(parts.train)
    if held_out > trained:
        yield (
            f"{held_out:,} rows are held out and {trained:,} trained on; lower data.test_rows and "
            "data.validation_rows, or give more data"
        )
    if trained < (given.train_rows or 0):
        yield f"data.train_rows asks for {given.train_rows:,} rows, and {trained:,} are there"
    if parts.left_over > len(rows) // 3:
        yield (
            "much is left over, since rows of one group, as dialogues that open alike, stay together; draw others by "
            "data.split_seed, or name smaller groups in a column group"
        )
    with_tools = sum(row.has_tools for row in rows)
    if with_tools and not shows_tools(tokenizer):
        yield f"{many(with_tools, 'row')} with tools written as text, as the chat template has no place for them"
    no_end_reason = "" if all(row.is_text for row in rows) else no_end(tokenizer)
    if no_end_reason:
        yield f"the end of an answer is not learned, as {no_end_reason}"


def read_sources(config: DataConfig, tokenizer: Any) -> dict[str, Source]:
    """Read all sources by name, plain texts in windows."""
    check_data_config(config)
    sources: dict[str, Source] = {}
    own = {each.source: each for each in config.training_sources}
    parts = 1 + sum(config.source_of(p) == config.source and getattr(config, f"{p}_rows") != 0 for p in HELD_OUT)
    for name in config.places:
        share = own.get(name, SourceConfig(name))
        source = sources[name] = Source(name, weight=share.weight, rows=share.rows)
        for conversation in _conversations(config, source):
            if name not in own or config.max_characters is None or conversation.characters <= config.max_characters:
                source.conversations += windows(conversation, tokenizer, config.max_length)
            else:
                source.too_many_characters += 1
        if not source.conversations:
            short = " of at most so many characters as data.max_characters says" if source.too_many_characters else ""
            faults = source.skipped
            first = f"; none of {many(len(faults), 'row')} can be read: {faults[0].what}" if faults else ""
            raise QweftError(f"data {name}: there are no rows{short} in it{first}")
        if [*own] == [name] and source.formats.total() < parts:
            # whole texts could not fill the parts, so each piece is a group
            rows = source.conversations
            source.conversations = [replace(row, group=row.asked) if row.is_text else row for row in rows]
        if name in own and (note := beside_training(name)):
            source.notes.append(note)
    return sources


def read_conversations(config: DataConfig) -> Iterator[Conversation]:
    """Yield the conversation of each row of the training sources, as `load_data` reads them."""
    for each in config.training_sources:
        yield from _conversations(config, Source(each.source))


def _conversations(config: DataConfig, source: Source) -> Iterator[Conversation]:
    """Yield the conversations of a source; `max_rows` is that of training sources."""
    own = next((each for each in config.training_sources if each.source == source.name), None)
    columns, key = config.columns, KEY
    if own is not None and own.columns and config.sources is not None:
        columns, key = own.columns, f"data.sources[{config.sources.index(own)}].columns"
    formats = formats_of(columns, key)
    for where, read in located_rows(source.name, None if own is None else config.max_rows, source.notes):
        try:
            if isinstance(read, RowError):
                raise read
            row = renamed(read, columns, where, key)
            form = format_of(row, where, formats)
            conversation = to_conversation(row, where, form)
        except RowError as fault:
            if not config.skip_bad_rows:
                raise QweftError(f"{fault}; --data.skip_bad_rows true leaves such rows out") from fault
            source.skipped.append(fault)
        else:
            source.formats[form.name] += 1
            if unread := unread_of(row, form):
                source.unread.update(unread)
            yield conversation
