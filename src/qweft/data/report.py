"""The report of the rows of a run: their counts, their fingerprint, and what was cut or left out."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qweft.core.text import join_few, many
from qweft.data.config import HELD_OUT, PARTS, DataConfig
from qweft.data.conversation import Conversation
from qweft.data.encoder import Encoder
from qweft.data.notes import describe_overlap, template_notes
from qweft.data.sources import Source
from qweft.data.split.split import Split
from qweft.data.tokens import Encoded, target_tokens, total_tokens

SHOWN_SKIPPED = 10
"""Skipped rows that the terminal shows; the record has all of them."""
TOO_LONG = "too long for data.max_length"


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
    """Counts of the data of a run; a long plain text is several rows. The names of the fields stand in records."""

    source: str
    rows: int
    groups: int
    max_length: int
    parts: dict[str, PartReport]
    fingerprint: str
    formats: dict[str, int]  # rows by format
    left_out: dict[str, int]  # rows in no part, by reason
    held_out: dict[str, str]  # source of a part that has its own
    sources: dict[str, dict[str, int]]  # rows of each of several sources, and of these in each part
    skipped: list[tuple[str, str]]  # place and fault of each bad row
    unread: dict[str, int]  # rows by column that is not read
    notes: list[str]

    def judged_without(self, part: str) -> list[str]:
        """Return what a reader of the losses of a part should know: what was left out, and how many were cut."""
        counts = {"cut at data.max_length": self.parts[part].cut, **self.left_out}
        return [f"{many(count, 'row')} {reason}" for reason, count in counts.items() if count]

    def describe(self) -> str:
        """Return a few lines for the terminal, with all counts of cut and left-out rows that are not 0."""
        rows = many(self.rows, "row")
        groups = many(self.groups, "group")
        lines = [f"data {self.source}: {rows} in {groups}, sha256 {self.fingerprint[:12]}"]
        lines += [self._describe_part(name) for name in self.parts]
        lines += [self._describe_source(name) for name in self.sources]
        lines += [f"  left out: {many(count, 'row')} {reason}" for reason, count in self.left_out.items()]
        lines += [f"    {where}: {fault}" for where, fault in self.skipped[:SHOWN_SKIPPED]]
        lines += [f"  note: {note}" for note in self.notes]
        if self.unread:
            columns = [f"{name[:40]} ({many(count, 'row')})" for name, count in self.unread.items()]
            lines.append(f"  columns that are not read: {join_few(columns)}")
        return "\n".join(lines)

    def _describe_part(self, name: str) -> str:
        part = self.parts[name]
        source = f" of {self.held_out[name]}" if name in self.held_out else ""
        line = (
            f"  {name}: {many(part.rows, 'row')} in {many(part.groups, 'group')}{source}, {part.tokens:,} tokens, "
            f"{part.target_tokens:,} of them learned or measured"
        )
        if part.cut:
            line += f"; {many(part.cut, 'row')} cut at {self.max_length:,} tokens"
        return line

    def _describe_source(self, name: str) -> str:
        counts = self.sources[name]
        by_part = ", ".join(f"{counts[part]:,} {part}" for part in self.parts)
        return f"  {name}: {many(counts['rows'], 'row')}, {by_part}"


def fingerprint(parts: Mapping[str, Sequence[Encoded]]) -> str:
    """Return the SHA-256, in hex, of the token ids and labels of all parts, with the parts' names and sizes."""
    digest = hashlib.sha256()
    for name, rows in parts.items():
        digest.update(f"{name} {len(rows)}\n".encode())
        for row in rows:
            digest.update(array("q", [len(row["input_ids"]), *row["input_ids"], *row["labels"]]).tobytes())
    return digest.hexdigest()


def make_report(
    config: DataConfig,
    sources: Mapping[str, Source],
    encoder: Encoder,
    parts: Split,
    rows: Mapping[str, Sequence[Encoded]],
) -> DataReport:
    """Return the counts of rows that were split and tokenised."""
    training = [sources[entry.source] for entry in config.training_sources]
    conversations = [row for source in training for row in source.conversations]
    return DataReport(
        source=config.source,
        rows=len(conversations),
        groups=_count_groups(conversations),
        max_length=config.max_length,
        parts={name: _report_part(parts.conversations[name], rows[name], encoder) for name in PARTS},
        fingerprint=fingerprint(rows),
        formats=_by_frequency(source.formats for source in training),
        left_out=_count_left_out(sources, encoder, parts),
        held_out=config.sources_elsewhere,
        sources=_count_by_source(config, training, parts),
        skipped=[(fault.where, fault.problem) for source in sources.values() for fault in source.skipped],
        unread=_by_frequency(source.unread for source in sources.values()),
        notes=_collect_notes(sources, conversations, encoder, parts),
    )


def _report_part(conversations: Sequence[Conversation], rows: Sequence[Encoded], encoder: Encoder) -> PartReport:
    return PartReport(
        rows=len(rows),
        groups=_count_groups(conversations),
        tokens=total_tokens(rows),
        target_tokens=sum(map(target_tokens, rows)),
        cut=sum(map(encoder.is_cut, conversations)),
        fingerprint=fingerprint({"": rows}),
    )


def _count_groups(conversations: Sequence[Conversation]) -> int:
    return len({conversation.group for conversation in conversations})


def _count_left_out(sources: Mapping[str, Source], encoder: Encoder, parts: Split) -> dict[str, int]:
    """Return the numbers of rows in no part, by reason."""
    left_out = Counter(parts.left_out)
    too_long = 0
    for source in sources.values():
        left_out += source.left_out
        too_long += encoder.count_dropped(source.conversations)
    left_out[TOO_LONG] = too_long
    return dict(+left_out)  # without reasons that no row has


def _count_by_source(config: DataConfig, training: Sequence[Source], parts: Split) -> dict[str, dict[str, int]]:
    """Return the rows of each of several sources, and those in each part, by the source's name."""
    counts: dict[str, dict[str, int]] = {}
    if config.sources is None:
        return counts
    for source in training:
        members = {id(row) for row in source.conversations}  # two sources may have equal rows
        counts[source.name] = {"rows": len(members)}
        for name, rows in parts.conversations.items():
            counts[source.name][name] = sum(id(row) in members for row in rows)
    return counts


def _by_frequency(counters: Iterable[Counter[str]]) -> dict[str, int]:
    """Return the sum of several counts, the largest first."""
    return dict(sum(counters, Counter[str]()).most_common())


def _collect_notes(
    sources: Mapping[str, Source], conversations: Sequence[Conversation], encoder: Encoder, parts: Split
) -> list[str]:
    """Return what a user should know: how files were read, what the template does, what parts share."""
    notes = [note for source in sources.values() for note in source.notes]
    notes += template_notes(conversations, encoder.tokenizer)
    for name in HELD_OUT:
        overlap = describe_overlap(name, parts.conversations)
        if overlap:
            notes.append(overlap)
    return notes
