"""Preview of data before training: formats, lengths, split, and examples of what is learned."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from qweft.core.progress import progress
from qweft.core.text import many
from qweft.data.config import DataConfig
from qweft.data.encoder import Encoder
from qweft.data.load import split_data
from qweft.data.report import DataReport
from qweft.data.sources import read_sources
from qweft.data.template import with_template
from qweft.data.tokens import IGNORED, Encoded, learn_all, target_tokens

EXAMPLES = 3
LONGEST_SPAN = 600
"""Maximum characters of a span in the examples; the middle of a longer one is left out."""
QUANTILES = {"least": 0.0, "25%": 0.25, "median": 0.5, "75%": 0.75, "90%": 0.9, "most": 1.0}
NO_TEST = "no test rows: training judges on them; raise data.test_rows, or give it --evaluation.split validation"

Span = tuple[str, bool]
"""A text, and whether it is learned."""


@dataclass(frozen=True)
class DataPreview:
    """A look at data: tokens of whole rows and of what is learned of them, and examples."""

    report: DataReport
    lengths: dict[str, int]
    learned: dict[str, int]
    shown: list[list[Span]]

    def to_json(self) -> dict[str, Any]:
        """Return the preview as a dict for JSON; the counts of the report stand beside the others."""
        values = asdict(self)
        report: dict[str, Any] = values.pop("report")
        return report | values

    def describe(self) -> Group:
        """Return the preview for the terminal."""
        formats = [f"{many(count, 'row')} of {name}" for name, count in self.report.formats.items()]
        lines = [
            f"{self.report.source}: {', '.join(formats)}",
            f"tokens of a row: {_describe_lengths(self.lengths)}",
            f"learned of them: {_describe_lengths(self.learned)}",
            self.report.describe(),
        ]
        if not self.report.parts["test"].rows:
            lines.append(NO_TEST)
        lines.append(f"\n{many(len(self.shown), 'row')} as the model sees them; learned is what stands in ⟦ ⟧:")
        examples = [Panel(Text.assemble(*map(_style_span, spans))) for spans in self.shown]
        return Group(*map(Text, lines), *examples)


@progress("reading the data")
def preview_data(
    config: DataConfig, tokenizer: Any, check_rows: Callable[[list[Encoded]], None] = lambda rows: None
) -> DataPreview:
    """Read and tokenise all rows of the training sources, and split them as a run would.

    `check_rows` receives the rows that a run reads, and raises if one does not fit the model.
    """
    templated = with_template(tokenizer, config.template)
    sources = read_sources(config, templated)
    encoder = Encoder(templated, config)
    rows: list[Encoded] = []
    for entry in config.training_sources:
        rows += map(encoder.encode, sources[entry.source].conversations)
    data = split_data(config, sources, encoder)
    check_rows(data.rows("test"))
    lengths = [len(row["input_ids"]) for row in rows]
    if config.learn == "all":
        rows = [learn_all(row) for row in rows]
    return DataPreview(
        report=data.report,
        lengths=summarise_lengths(lengths),
        learned=summarise_lengths([target_tokens(row) for row in rows]),
        shown=[find_spans(row, tokenizer) for row in data.train[:EXAMPLES]],
    )


def summarise_lengths(lengths: Sequence[int]) -> dict[str, int]:
    """Return the minimum, quartiles, 90th percentile and maximum of at least one token count."""
    return {name: round(np.quantile(lengths, share)) for name, share in QUANTILES.items()}


def _describe_lengths(lengths: dict[str, int]) -> str:
    return ", ".join(f"{name} {length:,}" for name, length in lengths.items())


def find_spans(row: Encoded, tokenizer: Any) -> list[Span]:
    """Return the spans of a row, learned and not learned in turn; a character may be several tokens."""
    spans: list[Span] = []
    tokens = zip(row["input_ids"], row["labels"], strict=True)
    for is_learned, run in groupby(tokens, key=lambda token: token[1] != IGNORED):
        text = tokenizer.decode([token for token, _ in run])
        spans.append((str(text), is_learned))
    return spans


def _style_span(span: Span) -> tuple[str, str]:
    """Return a span for the terminal, shortened, with its style."""
    text, is_learned = span
    half = LONGEST_SPAN // 2
    if len(text) > LONGEST_SPAN:
        text = f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"
    return (f"⟦{text}⟧", "bold green") if is_learned else (text, "dim")
