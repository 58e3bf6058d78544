"""Report of the data of a run: rows, tokens, and what was cut or left out."""

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qweft.data.conversation import Conversation, folded
from qweft.data.formats import shown_name
from qweft.data.tokens import Encoded
from qweft.text import many

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
    """Counts of the data of a run; a long plain text is several rows.

    `formats` and `unread` count rows by format and by column that is not read, `left_out` rows in no part by their
    reason. `held_out` names the source of a part that has its own. `skipped` has the place and the fault of each bad
    row.
    """

    source: str
    rows: int
    groups: int
    max_length: int
    parts: dict[str, PartReport]
    fingerprint: str
    formats: dict[str, int]
    left_out: dict[str, int]
    held_out: dict[str, str]
    sources: dict[str, dict[str, int]]
    skipped: list[tuple[str, str]]
    unread: dict[str, int]
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
