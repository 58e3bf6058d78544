"""Check of data before training: formats, lengths, split, examples of learned text; and the named data."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import starmap
from statistics import quantiles
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from qweft.data.config import DataConfig
from qweft.data.embedded import EMBEDDED_DATA, PREFIX
from qweft.data.load import DataReport, Encoder, read_sources, split_data
from qweft.data.read import NAMED
from qweft.data.template import with_template
from qweft.data.tokens import IGNORED, Encoded, fit, learn_all, target_tokens
from qweft.text import many, progress

SHOWN = 3
"""Number of example rows."""
LONGEST_SPAN = 600
"""Maximum characters of a span in the examples; the middle of a longer one is left out."""
NO_TEST = "no test rows: training judges on them; raise data.test_rows, or give it --evaluation.split validation"


@dataclass(frozen=True)
class DataCheck:
    """Findings of a check of data; of `lost` rows no learned token is within the limit."""

    report: DataReport
    model: str
    overlong: str
    turns: dict[int, int]
    lengths: dict[str, int]
    learned: dict[str, int]
    longer: int
    lost: int
    shown: list[list[tuple[str, bool]]]

    def to_json(self) -> dict[str, Any]:
        """Return the findings as a dict for JSON; those of the report stand beside the others."""
        found = asdict(self)
        return found.pop("report") | found

    def describe(self) -> Group:
        """Return the findings for the terminal."""
        formats = ", ".join(f"{many(count, 'row')} of {name}" for name, count in self.report.formats.items())
        if several := sum(count for answers, count in self.turns.items() if answers > 1):
            formats += f"; {many(several, 'row')} with several answers, at most {max(self.turns)}"
        lengths = Table("", *self.lengths, title="tokens of a row", title_justify="left")
        for column in lengths.columns[1:]:
            column.justify = "right"
        for name, numbers in (("whole", self.lengths), ("learned", self.learned)):
            lengths.add_row(name, *(f"{number:,}" for number in numbers.values()))
        no_test = [] if self.report.parts["test"].rows else [Text(NO_TEST)]
        return Group(
            Text(f"{self.report.source}: {formats}"),
            Text(self._limit()),
            lengths,
            Text(self.report.describe()),
            *no_test,
            Text(f"\n{many(len(self.shown), 'row')} as {self.model} sees them; learned is what stands in ⟦ ⟧:"),
            *(Panel(Text.assemble(*starmap(_styled, row))) for row in self.shown),
        )

    def _limit(self) -> str:
        """Return a sentence on the rows that are longer than the limit."""
        limit = f"{self.report.max_length:,} tokens"
        if not self.longer:
            return f"no row is longer than {limit}"
        share = f"{many(self.longer, 'row')} of {self.report.rows:,} ({self.longer / self.report.rows:.1%})"
        if self.overlong == "drop":
            return f"{share}, longer than {limit}, would be left out (data.overlong drop)"
        lost = f"; of {many(self.lost, 'row')} no learned token would be left" if self.lost else ""
        return f"{share}, longer than {limit}, would be cut there{lost}"


@progress("reading the data")
def check_data(
    config: DataConfig, tokenizer: Any, model: str, check_rows: Callable[[list[Encoded]], None] | None = None
) -> DataCheck:
    """Read and tokenise all rows of the training sources, and split them as a run would."""
    made = with_template(tokenizer, config.template)
    sources, encoder = read_sources(config, made), Encoder(made, config)
    conversations = [row for each in config.training_sources for row in sources[each.source].conversations]
    whole = [encoder.encode(row) for row in conversations]
    data = split_data(config, sources, encoder)
    if check_rows is not None:
        check_rows(data.rows("test"))
    learned = map(learn_all, whole) if config.learn == "all" else whole
    return DataCheck(
        report=data.report,
        model=model,
        overlong=config.overlong,
        turns=dict(sorted(Counter(row.answers for row in conversations if not row.is_text).items())),
        lengths=lengths_of([len(row["input_ids"]) for row in whole]),
        learned=lengths_of([target_tokens(row) for row in learned]),
        longer=sum(map(encoder.is_long, conversations)),
        lost=sum(fit(row, config.max_length, "cut") is None for row in whole),
        shown=[spans(row, tokenizer) for row in data.train[:SHOWN]],
    )


def lengths_of(numbers: Sequence[int]) -> dict[str, int]:
    """Return the minimum, quartiles, 90th percentile and maximum of at least one token count."""
    cuts = quantiles([*numbers] if len(numbers) > 1 else [*numbers, *numbers], n=20, method="inclusive")
    middle = {"25%": cuts[4], "median": cuts[9], "75%": cuts[14], "90%": cuts[17]}
    return {"least": min(numbers), **{name: round(cut) for name, cut in middle.items()}, "most": max(numbers)}


def spans(row: Encoded, tokenizer: Any) -> list[tuple[str, bool]]:
    """Return the spans of a row, learned and not learned in turn; a character may be several tokens."""
    found: list[tuple[str, bool]] = []
    ids, labels = row["input_ids"], row["labels"]
    first = 0
    for place in range(1, len(ids) + 1):
        if place == len(ids) or (labels[place] == IGNORED) != (labels[first] == IGNORED):
            found.append((str(tokenizer.decode(ids[first:place])), labels[first] != IGNORED))
            first = place
    return found


def _styled(text: str, is_learned: bool) -> tuple[str, str]:
    """Return a span for the terminal, shortened."""
    half = LONGEST_SPAN // 2
    if len(text) > LONGEST_SPAN:
        text = f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"
    return (f"⟦{text}⟧", "bold green") if is_learned else (text, "dim")


def named_data() -> list[dict[str, str]]:
    """Return the data sets that have a name, each with a line about it and, if it is on the hub, its id there."""
    abouts = {name: (rows.__doc__ or "").splitlines()[0].removeprefix("Yield ") for name, rows in EMBEDDED_DATA.items()}
    abouts[f"{PREFIX}TASK"] = "Any task of reasoning-gym whose entries have a text answer, with its verifier."
    embedded = [{"name": f"embedded:{name}", "about": about.rstrip(".")} for name, about in abouts.items()]
    return embedded + [{"name": name, "hub": hub, "about": about} for name, (hub, about) in NAMED.items()]


def describe_named() -> Group:
    """Return the list of data sets that have a name, for the terminal."""
    lines = [
        Text.assemble((each["name"], "bold"), f"\n  {each['about']}; from {each.get('hub', 'a Python package')}")
        for each in named_data()
    ]
    return Group(*lines)
