"""What became of the data, for the terminal and the record of a run."""

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qweft.data.tokens import Encoded, target_tokens, total_tokens
from qweft.text import many


@dataclass(frozen=True)
class PartReport:
    """One part of a split.

    Args:
        rows: Its rows.
        groups: How many groups they come from.
        tokens: Tokens of all rows.
        target_tokens: Tokens that are learned or measured.
        cut: Rows whose end was cut off.
        only_last: Rows of which only the last answer is learned, since the template rewrites the earlier ones.
    """

    rows: int
    groups: int
    tokens: int
    target_tokens: int
    cut: int
    only_last: int


@dataclass(frozen=True)
class DataReport:
    """The data of a run.

    Args:
        source: As the user wrote it.
        rows: Rows read.
        groups: Groups they form.
        max_length: Longest row in tokens.
        dropped: Rows passed over for being longer than that, among those looked at.
        nothing_learned: Rows passed over because no answer token was left, among those looked at.
        left_over: Rows of held-out groups that are in no part.
        parts: By name: train, validation, test.
        fingerprint: SHA-256 over the token ids and labels of all parts: equal data give equal numbers.
        held_out: Sources of held-out parts that have one of their own, by the part's name.
        held_out_rows: Rows read of each of these.
        too_many_characters: Rows of the source left out for their characters.
        asked_elsewhere: Rows of no part since a row held out of another source is of their group or has their prompt.
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

    def describe(self) -> str:
        """Return a few lines for the terminal; what was cut or left out is always said."""
        rows, groups = many(self.rows, "row"), many(self.groups, "group")
        lines = [f"data {self.source}: {rows} in {groups}, sha256 {self.fingerprint[:12]}"]
        for name, part in self.parts.items():
            of = f", of {self.held_out_rows[name]:,} in {self.held_out[name]}" if name in self.held_out else ""
            line = f"  {name}: {many(part.rows, 'row')} of {many(part.groups, 'group')}{of}, {part.tokens:,} tokens"
            line += (
                f", {part.target_tokens:,} of them learned" if name == "train" else f", {part.target_tokens:,} measured"
            )
            if part.cut:
                line += f"; {many(part.cut, 'row')} cut at {self.max_length:,} tokens"
            if part.only_last:
                rows = many(part.only_last, "row")
                line += f"; {rows} with only the last answer (the chat template rewrites earlier ones)"
            lines.append(line)
        told = (
            (self.dropped, f"longer than {self.max_length:,} tokens"),
            (self.nothing_learned, f"without an answer token in the first {self.max_length:,}"),
            (self.left_over, "left over from groups held out"),
            (self.too_many_characters, "with more characters than data.max_characters"),
            (self.asked_elsewhere, "whose group or prompt is held out in another source"),
        )
        lines += [f"  left out: {many(count, 'row')} {why}" for count, why in told if count]
        return "\n".join(lines)


def fingerprint(parts: Mapping[str, Sequence[Encoded]]) -> str:
    """Return the SHA-256, in hex, of the token ids and labels of all parts."""
    digest = hashlib.sha256()
    for name, rows in parts.items():
        digest.update(f"{name} {len(rows)}\n".encode())
        for row in rows:
            digest.update(array("q", [len(row["input_ids"]), *row["input_ids"], *row["labels"]]).tobytes())
    return digest.hexdigest()


def part_report(rows: Sequence[Encoded], groups: int, cut: int, only_last: int) -> PartReport:
    """Count the tokens of a part."""
    return PartReport(len(rows), groups, total_tokens(rows), sum(map(target_tokens, rows)), cut, only_last)
