"""Check of data before training: formats, lengths, split, overlap, examples of learned text; and the named data."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from qweft.data.config import DataConfig
from qweft.data.conversation import Conversation, folded
from qweft.data.embedded import EMBEDDED_DATA, PREFIX
from qweft.data.hub import NAMED
from qweft.data.load import has_room, load_data, read_conversations
from qweft.data.template import with_template
from qweft.data.tokens import IGNORED, Encoded, fit, learn_all, target_tokens, tokenise, windows
from qweft.text import many

STRETCH = 12
"""Length of the token n-grams that are compared for overlap."""
SHARE = 0.5
"""A row is reported if at least this share of its n-grams is in training rows."""
SHOWN = 3
"""Number of example rows."""
LONGEST_STRETCH = 600
"""Maximum characters of a span in the examples; the middle of a longer one is left out."""
NO_TEST = "no test rows: training judges on them; raise data.test_rows, or give it --evaluation.split validation"


@dataclass(frozen=True)
class Overlap:
    """Rows of a held-out part, and those whose prompt, answer, or half of the 12-token n-grams is in training rows."""

    rows: int
    prompts: int
    answers: int
    stretches: int

    def describe(self, name: str) -> str:
        """Return a sentence on a part of this name."""
        counts = (
            (self.prompts, "with a training row's prompt"),
            (self.answers, "with a training row's answer"),
            (self.stretches, "of which half or more stands in training rows, in stretches of 12 tokens"),
        )
        shared = [f"{many(count, 'row')} {what}" for count, what in counts if count]
        if not shared:
            return f"{name}: none of its {many(self.rows, 'row')} stands in the training rows"
        return f"{name}, of {many(self.rows, 'row')}: {'; '.join(shared)}"


def overlap(train: Sequence[Conversation], held_out: Sequence[Conversation], tokenizer: Any) -> Overlap:
    """Return the overlap of held-out rows with training rows; case, white space and system messages are ignored."""
    prompts, answers = {row.question for row in train}, {row.reply for row in train}
    known = {gram for row in train for gram in _grams(row, tokenizer)}
    shares = [[gram in known for gram in _grams(row, tokenizer)] for row in held_out]
    return Overlap(
        rows=len(held_out),
        prompts=sum(row.question in prompts for row in held_out if not row.is_text),
        answers=sum(row.reply in answers for row in held_out),
        stretches=sum(bool(share) and sum(share) >= SHARE * len(share) for share in shares),
    )


def _grams(row: Conversation, tokenizer: Any) -> Iterator[int]:
    """Yield the hashes of all n-grams of `STRETCH` tokens in each message."""
    for text in (folded(message.said) for message in row.messages if message.role != "system"):
        ids = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        for first in range(len(ids) - STRETCH + 1):
            yield hash(tuple(ids[first : first + STRETCH]))


def lengths_of(numbers: Sequence[int]) -> dict[str, int]:
    """Return the minimum, quartiles, 90th percentile and maximum of at least one token count."""
    cuts = quantiles([*numbers] if len(numbers) > 1 else [*numbers, *numbers], n=20, method="inclusive")
    middle = {"25%": cuts[4], "median": cuts[9], "75%": cuts[14], "90%": cuts[17]}
    return {"least": min(numbers), **{name: round(cut) for name, cut in middle.items()}, "most": max(numbers)}


@dataclass(frozen=True)
class Stretch:
    """A span of a row as text, and whether its tokens are learned."""

    text: str
    is_learned: bool

    def add_to(self, text: Text) -> None:
        """Add the span to a terminal's text, shortened."""
        shown, half = self.text, LONGEST_STRETCH // 2
        if len(shown) > LONGEST_STRETCH:
            shown = f"{shown[:half]} [... {len(shown) - 2 * half:,} characters ...] {shown[-half:]}"
        text.append(f"⟦{shown}⟧" if self.is_learned else shown, style="bold green" if self.is_learned else "dim")


@dataclass(frozen=True)
class DataCheck:
    """Findings of a check of data."""

    source: str
    model: str
    formats: dict[str, int]
    turns: dict[int, int]
    rows: int
    lengths: dict[str, int]
    learned: dict[str, int]
    max_length: int
    overlong: str
    longer: int
    lost: int
    split: str
    held_out: dict[str, int]
    skipped: list[tuple[str, str]]
    overlaps: dict[str, Overlap]
    shown: tuple[tuple[Stretch, ...], ...]
    sources: dict[str, dict[str, int]]

    def to_json(self) -> dict[str, Any]:
        """Return the findings as a dict for JSON."""
        return asdict(self)

    def describe(self) -> Group:
        """Return the findings for the terminal."""
        formats = ", ".join(f"{many(count, 'row')} of {name}" for name, count in self.formats.items())
        if several := sum(count for answers, count in self.turns.items() if answers > 1):
            formats += f"; {many(several, 'row')} with several answers, at most {max(self.turns)}"
        lengths = Table(title="tokens of a row", title_justify="left")
        lengths.add_column("")
        for name in self.lengths:
            lengths.add_column(name, justify="right")
        for name, of in (("whole", self.lengths), ("learned", self.learned)):
            lengths.add_row(name, *(f"{number:,}" for number in of.values()))
        rows = [Text() for _ in self.shown]
        for row, text in zip(self.shown, rows, strict=True):
            for stretch in row:
                stretch.add_to(text)
        return Group(
            Text(f"{self.source}: {formats}"),
            Text(self._limit()),
            lengths,
            Text(self.split),
            *([] if self.held_out["test"] else [Text(NO_TEST)]),
            *(Text(part.describe(name)) for name, part in self.overlaps.items()),
            Text(f"\n{many(len(rows), 'row')} as {self.model} sees them; learned is what stands in ⟦ ⟧:"),
            *map(Panel, rows),
        )

    def _limit(self) -> str:
        """Return a sentence on the rows that are longer than the limit."""
        limit = f"{self.max_length:,} tokens"
        if not self.longer:
            return f"no row is longer than {limit}"
        share = f"{many(self.longer, 'row')} of {self.rows:,} ({100 * self.longer / self.rows:.1f}%)"
        if self.overlong == "drop":
            return f"{share}, longer than {limit}, would be left out (data.overlong drop)"
        lost = f"; of {many(self.lost, 'row')} no learned token would be left" if self.lost else ""
        return f"{share}, longer than {limit}, would be cut there{lost}"


def check_data(
    config: DataConfig, tokenizer: Any, model: str, check_rows: Callable[[list[Encoded]], None] | None = None
) -> DataCheck:
    """Read and tokenise all rows of the source, and split them as a run would."""
    made_with = with_template(tokenizer, config.template)
    formats: Counter[str] = Counter()
    turns: Counter[int] = Counter()
    tokenised: dict[Conversation, Encoded] = {}
    whole: list[Encoded] = []
    for name, conversation in read_conversations(config):
        formats[name] += 1
        if not conversation.is_text:
            turns[sum(message.role == "assistant" for message in conversation.messages)] += 1
        for piece in windows(conversation, made_with, config.max_length) if has_room(conversation, config) else ():
            tokenised[piece] = tokenise(piece, made_with)
            whole.append(tokenised[piece])
    data = load_data(config, tokenizer, tokenised)
    if check_rows is not None:
        check_rows(data.rows("test"))
    held_out = {"validation": data.validation_conversations, "test": data.test_conversations}
    learned = map(learn_all, whole) if config.learn == "all" else whole
    return DataCheck(
        source=config.source,
        model=model,
        formats=dict(formats.most_common()),
        turns=dict(sorted(turns.items())),
        rows=len(whole),
        lengths=lengths_of([len(row["input_ids"]) for row in whole]),
        learned=lengths_of([target_tokens(row) for row in learned]),
        max_length=config.max_length,
        overlong=config.overlong,
        longer=sum(len(row["input_ids"]) > config.max_length for row in whole),
        lost=sum(fit(row, config.max_length, "cut") is None for row in whole),
        split=data.report.describe(),
        held_out={name: len(part) for name, part in held_out.items()},
        skipped=[each for faults in data.report.skipped.values() for each in faults],
        overlaps={name: overlap(data.train_conversations, part, tokenizer) for name, part in held_out.items() if part},
        shown=tuple(stretches(row, tokenizer) for row in data.train[:SHOWN]),
        sources=data.report.sources,
    )


def stretches(row: Encoded, tokenizer: Any) -> tuple[Stretch, ...]:
    """Return the spans of a row as text, learned and not learned in turn; a character may be several tokens."""
    spans: list[Stretch] = []
    ids, labels = row["input_ids"], row["labels"]
    first = 0
    for place in range(1, len(ids) + 1):
        if place == len(ids) or (labels[place] == IGNORED) != (labels[first] == IGNORED):
            spans.append(Stretch(str(tokenizer.decode(ids[first:place])), labels[first] != IGNORED))
            first = place
    return tuple(spans)


def describe_sources() -> Group:
    """Return the list of data sets that have a name."""
    lines: list[Text] = []
    for name, rows in EMBEDDED_DATA.items():
        about = (rows.__doc__ or "").splitlines()[0].removeprefix("Yield ").rstrip(".")
        lines += [Text(f"embedded:{name}", style="bold"), Text(f"  {about}; from a Python package")]
    lines += [
        Text(f"embedded:{PREFIX}TASK", style="bold"),
        Text("  Any task of reasoning-gym whose entries have a text answer, with its verifier; from a Python package"),
    ]
    for each in NAMED:
        lines += [Text(each.name, style="bold"), Text(f"  {each.about}; from the hub, {each.source}")]
    return Group(*lines, Text("\nA copy of one of the hub's: --data.source NAME --data.file FILE"))
