"""Report of the data of a run: rows, tokens, and what was cut or left out."""

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qweft.data.config import LEAST_HELD_OUT, MOST_HELD_OUT
from qweft.data.conversation import Conversation
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
    """Counts of one part of a split.

    `only_last` are rows of which only the last answer is learned, since the template rewrites the earlier ones. The
    fingerprint is the SHA-256, in hex, of the token ids and labels of these rows.
    """

    rows: int
    groups: int
    tokens: int
    target_tokens: int
    cut: int
    only_last: int
    fingerprint: str = ""


@dataclass(frozen=True)
class DataReport:
    """Counts of the data of a run; rows of a source are those within `max_characters`, a long plain text is several.

    `dropped` rows are too long, `nothing_learned` ones have no learned token left, both among rows that the split
    tried. `left_over` rows are of held-out groups, `asked_elsewhere` ones share one with a row that is held out
    from another source. `held_out` names the source of a part that has its own. `by_default` are parts whose number
    of rows was not given, `wanted` is `train_rows` if fewer are there, and `no_end` why no end of an answer is learned.
    """

    source: str
    rows: int
    groups: int
    max_length: int
    dropped: int
    nothing_learned: int
    left_over: int
    parts: dict[str, PartReport]
    fingerprint: str
    held_out: dict[str, str] = field(default_factory=dict)
    held_out_rows: dict[str, int] = field(default_factory=dict)
    too_many_characters: int = 0
    asked_elsewhere: int = 0
    skipped: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    tools_as_text: int = 0
    by_default: tuple[str, ...] = ()
    sources: dict[str, dict[str, int]] = field(default_factory=dict)
    no_end: str = ""
    wanted: int | None = None
    notes: tuple[str, ...] = ()
    unread: dict[str, int] = field(default_factory=dict)

    def rows_of(self, part: str) -> int:
        """Return the number of rows of a held-out part's source, those included that could not be read."""
        names = [self.held_out[part]] if part in self.held_out else [*self.sources] or [self.source]
        return self.held_out_rows.get(part, self.rows) + sum(len(self.skipped.get(name, ())) for name in names)

    def left_out(self) -> list[str]:
        """Return what is in no part and why: "3 rows longer than 60 tokens"."""
        reasons = (
            (self.dropped, f"longer than {self.max_length:,} tokens"),
            (self.nothing_learned, f"without an answer token in the first {self.max_length:,}"),
            (self.left_over, "left over from groups held out"),
            (self.too_many_characters, "with more characters than data.max_characters"),
            (self.asked_elsewhere, "whose group or prompt is held out in another source"),
            (sum(map(len, self.skipped.values())), "that cannot be read (data.skip_bad_rows)"),
        )
        return [f"{many(count, 'row')} {why}" for count, why in reasons if count]

    def judged_without(self, part: str) -> list[str]:
        """Return what a reader of the losses of a part should know: what was left out, and how many were cut."""
        cut = self.parts[part].cut
        cut_rows = [f"{many(cut, 'row')} cut at {self.max_length:,} tokens (data.max_length)"] if cut else []
        return [*cut_rows, *(f"left out of all the data: {line}" for line in self.left_out())]

    def describe(self) -> str:
        """Return a few lines for the terminal, with all counts of cut and left-out rows that are not 0."""
        rows, groups = many(self.rows, "row"), many(self.groups, "group")
        lines = [f"data {self.source}: {rows} in {groups}, sha256 {self.fingerprint[:12]}"]
        lines += [self._part(name, part) for name, part in self.parts.items()]
        for name, counts in self.sources.items():
            of_parts = ", ".join(f"{counts[part]:,} {part}" for part in self.parts)
            unused = counts["rows"] - sum(counts[part] for part in self.parts)
            lines.append(f"  {name}: {many(counts['rows'], 'row')}, {of_parts}, {unused:,} not used")
        lines += [f"  left out: {line}" for line in self.left_out()]
        skipped = [f"    {where}: {fault}" for faults in self.skipped.values() for where, fault in faults]
        lines += skipped[:SHOWN]
        if len(skipped) > SHOWN:
            lines.append(f"    ... and {len(skipped) - SHOWN:,} more")
        if self.tools_as_text:
            rows = many(self.tools_as_text, "row")
            lines.append(f"  {rows} with tools written as text (the chat template has no place for tools)")
        lines += [f"  note: {line}" for line in (*self._advice(), *self.notes)]
        if self.unread:
            named = [f"{shown_name(name)} ({many(count, 'row')})" for name, count in self.unread.items()]
            more = ["and more"] if len(named) > COLUMNS else []
            lines.append(f"  columns that are not read: {', '.join(named[:COLUMNS] + more)}")
        return "\n".join(lines)

    def _part(self, name: str, part: PartReport) -> str:
        of = f", of {self.held_out_rows[name]:,} in {self.held_out[name]}" if name in self.held_out else ""
        use = "of them learned" if name == "train" else "measured"
        line = f"  {name}: {many(part.rows, 'row')} of {many(part.groups, 'group')}{of}, {part.tokens:,} tokens, "
        line += f"{part.target_tokens:,} {use}"
        if name in self.by_default:
            limits = f"at least {LEAST_HELD_OUT} and at most {MOST_HELD_OUT}"
            line += f"; a tenth of the rows, but {limits} (data.{name}_rows sets another number)"
        if name == "train" and self.wanted is not None:
            line += f"; data.train_rows asks for {self.wanted:,}"
        if part.cut:
            line += f"; {many(part.cut, 'row')} cut at {self.max_length:,} tokens"
        if part.only_last:
            rows = many(part.only_last, "row")
            line += f"; {rows} with only the last answer (the chat template rewrites earlier ones)"
        return line

    def _advice(self) -> list[str]:
        advice: list[str] = []
        held = sum(self.parts[name].rows for name in self.by_default if name in self.parts)
        if "train" in self.parts and held > self.parts["train"].rows:
            advice.append(
                f"{held:,} rows are held out and {self.parts['train'].rows:,} trained on; lower data.test_rows and "
                "data.validation_rows, or give more data"
            )
        if self.left_over > self.rows // 3:
            advice.append(
                "much is left over, since rows of one group, as dialogues that open alike, stay together; draw others "
                "by data.split_seed, or name smaller groups in a column group"
            )
        return [*advice, *([f"the end of an answer is not learned, as {self.no_end}"] if self.no_end else [])]


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
    trained = parts["train"]
    prompts = {row.question for row in trained if not row.is_text}
    answers = {text for row in trained if len(text := row.reply) >= LONG_ANSWER}
    count = sum(row.question in prompts or row.reply in answers for row in parts[name])
    what = "the prompt or the long answer of a training row, which flatters the result"
    return f"{many(count, f'{name} row')} repeat{'s' if count == 1 else ''} {what}" if count else ""
