"""The report of the rows of a run: their counts, their fingerprint, and what was cut or left out."""

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qweft.core.text import join_few, many
from qweft.data.tokens import Encoded

SHOWN_SKIPPED = 10
"""Skipped rows that the terminal shows; the record has all of them."""


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
