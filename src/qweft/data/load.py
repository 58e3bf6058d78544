"""The rows of a run: read, split and tokenised, and the report of what was cut or left out."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qweft.core.errors import QweftError
from qweft.core.text import many, progress, some
from qweft.data.checks import check_data_config
from qweft.data.config import HELD_OUT, DataConfig, SourceConfig
from qweft.data.conversation import Conversation, folded
from qweft.data.formats import format_of, formats_of, renamed, to_conversation, unread_of
from qweft.data.read import located_rows
from qweft.data.split import Source, split
from qweft.data.template import shows_tools, with_template
from qweft.data.tokens import (
    Encoded,
    closing_tokens,
    fit,
    learn_all,
    target_tokens,
    tokenise,
    total_tokens,
    windows,
)
from qweft.data.turns import RowError

LEAST_HELD_OUT, MOST_HELD_OUT = 8, 64
"""Limits of a held-out part whose size is not given."""
SHOWN = 10
"""Skipped rows that the terminal shows; the record has all of them."""
TOO_LONG = "too long for data.max_length"
LONG_ANSWER = 40
"""Characters from which on an answer that stands in training rows, too, is told; a class is shorter."""


@dataclass(frozen=True)
class PartReport:
    """Counts and fingerprint of one part of a split."""

    rows: int
    groups: int
    tokens: int
    target_tokens: int
    cut: int
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
        counts = {"cut at data.max_length": self.parts[part].cut, **self.left_out}
        return [f"{many(count, 'row')} {reason}" for reason, count in counts.items() if count]

    def describe(self) -> str:
        """Return a few lines for the terminal, with all counts of cut and left-out rows that are not 0."""
        rows, groups = many(self.rows, "row"), many(self.groups, "group")
        lines = [f"data {self.source}: {rows} in {groups}, sha256 {self.fingerprint[:12]}"]
        for name, part in self.parts.items():
            of = f" of {self.held_out[name]}" if name in self.held_out else ""
            line = f"  {name}: {many(part.rows, 'row')} in {many(part.groups, 'group')}{of}, {part.tokens:,} tokens, "
            line += f"{part.target_tokens:,} of them learned or measured"
            if part.cut:
                line += f"; {many(part.cut, 'row')} cut at {self.max_length:,} tokens"
            lines.append(line)
        for name, counts in self.sources.items():
            of_parts = ", ".join(f"{counts[part]:,} {part}" for part in self.parts)
            lines.append(f"  {name}: {many(counts['rows'], 'row')}, {of_parts}")
        lines += [f"  left out: {many(count, 'row')} {reason}" for reason, count in self.left_out.items()]
        lines += [f"    {where}: {fault}" for where, fault in self.skipped[:SHOWN]]
        lines += [f"  note: {line}" for line in self.notes]
        if self.unread:
            named = [f"{name[:40]} ({many(count, 'row')})" for name, count in self.unread.items()]
            lines.append(f"  columns that are not read: {some(named)}")
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

    def report(self, conversations: Sequence[Conversation], rows: Sequence[Encoded]) -> PartReport:
        """Return the counts of a part."""
        return PartReport(
            rows=len(rows),
            groups=len({conversation.group for conversation in conversations}),
            tokens=total_tokens(rows),
            target_tokens=sum(map(target_tokens, rows)),
            cut=sum(len(self.encode(each)["input_ids"]) > self.config.max_length for each in conversations),
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
    config = config.with_held_out(held_out_rows)
    held_out = {part: source for part in HELD_OUT if (source := config.source_of(part)) != config.source}
    numbers = {part: getattr(config, f"{part}_rows") for part in PARTS}
    elsewhere = {part: sources[source] for part, source in held_out.items()}
    found = split(shares, numbers, config.split_seed, encoder.usable, elsewhere)
    parts = {name: getattr(found, name) for name in PARTS}
    rows = {name: [row for each in part if (row := encoder.row(each)) is not None] for name, part in parts.items()}
    if config.learn == "all":
        rows["train"] = [learn_all(row) for row in rows["train"]]
    unread = sum((source.unread for source in sources.values()), Counter[str]())
    left_out = sum((source.left_out for source in sources.values()), found.left_out)
    read = [row for source in sources.values() for row in source.conversations]
    left_out[TOO_LONG] = sum(id(row) in encoder.whole and not encoder.usable(row) for row in read)
    report = DataReport(
        source=config.source,
        rows=len(conversations),
        groups=len({conversation.group for conversation in conversations}),
        max_length=config.max_length,
        parts={name: encoder.report(part, rows[name]) for name, part in parts.items()},
        fingerprint=fingerprint(rows),
        formats=dict(sum((share.formats for share in shares), Counter[str]()).most_common()),
        left_out=dict(+left_out),
        held_out=held_out,
        sources={} if config.sources is None else _counts(shares, parts),
        skipped=[(fault.where, fault.what) for source in sources.values() for fault in source.skipped],
        unread=dict(unread.most_common()),
        notes=[
            *(note for source in sources.values() for note in source.notes),
            *_advice(conversations, encoder.tokenizer),
            *filter(None, (shared_note(part, parts) for part in HELD_OUT)),
        ],
    )
    return Data(**rows, conversations=parts, report=report, tokenizer=encoder.tokenizer, config=config)


def _counts(shares: Sequence[Source], chosen: Mapping[str, Sequence[Conversation]]) -> dict[str, dict[str, int]]:
    """Return the rows of each of several sources, and those in each part, by the source's name."""
    counts: dict[str, dict[str, int]] = {}
    for each in shares:
        own = {id(row) for row in each.conversations}  # two sources may have equal rows
        counts[each.name] = {"rows": len(own)} | {
            part: sum(id(row) in own for row in rows) for part, rows in chosen.items()
        }
    return counts


def _advice(rows: Sequence[Conversation], tokenizer: Any) -> Iterator[str]:
    """Yield what a user may want to change."""
    with_tools = sum(row.has_tools for row in rows)
    if with_tools and not shows_tools(tokenizer):
        yield f"{many(with_tools, 'row')} with tools written as text, as the chat template has no place for them"
    if not closing_tokens(tokenizer) and not all(row.is_text for row in rows):
        yield "no end of an answer is learned, as the chat template writes no end token; give one by data.template"


def read_sources(config: DataConfig, tokenizer: Any) -> dict[str, Source]:
    """Read all sources by name, plain texts in windows."""
    check_data_config(config)
    sources: dict[str, Source] = {}
    own = {each.source: each for each in config.training_sources}
    parts = 1 + sum(config.source_of(p) == config.source and getattr(config, f"{p}_rows") != 0 for p in HELD_OUT)
    for name in config.places:
        share = own.get(name, SourceConfig(name, config.columns))
        source = sources[name] = Source(name, weight=share.weight, rows=share.rows)
        max_rows = config.max_rows if name in own else None
        for conversation in _conversations(source, share.columns, max_rows, config.skip_bad_rows):
            if name not in own or config.max_characters is None or conversation.characters <= config.max_characters:
                source.conversations += windows(conversation, tokenizer, config.max_length)
            else:
                source.left_out["with more characters than data.max_characters"] += 1
        if not source.conversations:
            first = "".join(f"; {fault}" for fault in source.skipped[:1])
            raise QweftError(f"data {name}: no row can be used (data.max_characters, data.skip_bad_rows){first}")
        if [*own] == [name] and source.formats.total() < parts:
            # whole texts could not fill the parts, so each piece is a group
            rows = source.conversations
            source.conversations = [replace(row, group=row.asked) if row.is_text else row for row in rows]
    return sources


def read_conversations(config: DataConfig) -> Iterator[Conversation]:
    """Yield the conversation of each row of the training sources, as `load_data` reads them."""
    for each in config.training_sources:
        yield from _conversations(Source(each.source), each.columns, config.max_rows, config.skip_bad_rows)


def _conversations(
    source: Source, columns: Mapping[str, str], max_rows: int | None, skip_bad_rows: bool
) -> Iterator[Conversation]:
    """Yield the conversations of a source, and note in it what was seen."""
    formats = formats_of(columns)
    for where, read in located_rows(source.name, max_rows, source.notes):
        try:
            if isinstance(read, RowError):
                raise read
            row = renamed(read, columns, where)
            form = format_of(row, where, formats)
            conversation = to_conversation(row, where, form)
        except RowError as fault:
            if not skip_bad_rows:
                raise QweftError(f"{fault}; --data.skip_bad_rows true leaves such rows out") from fault
            source.skipped.append(fault)
            source.left_out["that cannot be read (data.skip_bad_rows)"] += 1
        else:
            source.formats[form.name] += 1
            source.unread.update(unread_of(row, form))
            yield conversation
