"""Check of data before training: formats, lengths, split, examples of learned text; and the named data."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, starmap
from typing import Any

import numpy as np
from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from qweft.core.text import many, progress
from qweft.data.config import DataConfig
from qweft.data.embedded import ABOUT
from qweft.data.load import DataReport, Encoder, read_sources, split_data
from qweft.data.read import NAMED
from qweft.data.template import with_template
from qweft.data.tokens import IGNORED, Encoded, learn_all, target_tokens

SHOWN = 3
"""Number of example rows."""
LONGEST_SPAN = 600
"""Maximum characters of a span in the examples; the middle of a longer one is left out."""
NO_TEST = "no test rows: training judges on them; raise data.test_rows, or give it --evaluation.split validation"


@dataclass(frozen=True)
class DataCheck:
    """Findings of a check of data: tokens of whole rows and of what is learned of them, and examples."""

    report: DataReport
    lengths: dict[str, int]
    learned: dict[str, int]
    shown: list[list[tuple[str, bool]]]

    def to_json(self) -> dict[str, Any]:
        """Return the findings as a dict for JSON; those of the report stand beside the others."""
        found = asdict(self)
        return found.pop("report") | found

    def describe(self) -> Group:
        """Return the findings for the terminal."""
        formats = ", ".join(f"{many(count, 'row')} of {name}" for name, count in self.report.formats.items())
        tokens = {"tokens of a row": self.lengths, "learned of them": self.learned}
        lines = [f"{what}: {', '.join(f'{name} {n:,}' for name, n in found.items())}" for what, found in tokens.items()]
        no_test = [] if self.report.parts["test"].rows else [Text(NO_TEST)]
        return Group(
            Text(f"{self.report.source}: {formats}"),
            *map(Text, lines),
            Text(self.report.describe()),
            *no_test,
            Text(f"\n{many(len(self.shown), 'row')} as the model sees them; learned is what stands in ⟦ ⟧:"),
            *(Panel(Text.assemble(*starmap(_styled, row))) for row in self.shown),
        )


@progress("reading the data")
def check_data(
    config: DataConfig, tokenizer: Any, check_rows: Callable[[list[Encoded]], None] = lambda rows: None
) -> DataCheck:
    """Read and tokenise all rows of the training sources, and split them as a run would."""
    made = with_template(tokenizer, config.template)
    sources, encoder = read_sources(config, made), Encoder(made, config)
    conversations = [row for each in config.training_sources for row in sources[each.source].conversations]
    whole = [encoder.encode(row) for row in conversations]
    data = split_data(config, sources, encoder)
    check_rows(data.rows("test"))
    learned = map(learn_all, whole) if config.learn == "all" else whole
    return DataCheck(
        report=data.report,
        lengths=lengths_of([len(row["input_ids"]) for row in whole]),
        learned=lengths_of([target_tokens(row) for row in learned]),
        shown=[spans(row, tokenizer) for row in data.train[:SHOWN]],
    )


def lengths_of(numbers: Sequence[int]) -> dict[str, int]:
    """Return the minimum, quartiles, 90th percentile and maximum of at least one token count."""
    shares = {"least": 0.0, "25%": 0.25, "median": 0.5, "75%": 0.75, "90%": 0.9, "most": 1.0}
    return {name: round(np.quantile(numbers, share)) for name, share in shares.items()}


def spans(row: Encoded, tokenizer: Any) -> list[tuple[str, bool]]:
    """Return the spans of a row, learned and not learned in turn; a character may be several tokens."""
    tokens = zip(row["input_ids"], row["labels"], strict=True)
    runs = groupby(tokens, key=lambda pair: pair[1] != IGNORED)
    return [(str(tokenizer.decode([token for token, _ in run])), is_learned) for is_learned, run in runs]


def _styled(text: str, is_learned: bool) -> tuple[str, str]:
    """Return a span for the terminal, shortened."""
    half = LONGEST_SPAN // 2
    if len(text) > LONGEST_SPAN:
        text = f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"
    return (f"⟦{text}⟧", "bold green") if is_learned else (text, "dim")


def named_data() -> list[dict[str, str]]:
    """Return the data sets that have a name, each with a line about it and, if it is on the hub, its id there."""
    embedded = [{"name": f"embedded:{name}", "about": about} for name, about in ABOUT.items()]
    return embedded + [{"name": name, "hub": hub, "about": about} for name, (hub, about) in NAMED.items()]


def describe_named() -> Group:
    """Return the list of data sets that have a name, for the terminal."""
    lines = [
        Text.assemble((each["name"], "bold"), f"\n  {each['about']}; from {each.get('hub', 'a Python package')}")
        for each in named_data()
    ]
    return Group(*lines)
