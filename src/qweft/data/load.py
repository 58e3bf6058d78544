"""The rows of a run: read, split and tokenised."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qweft.core.progress import progress
from qweft.data.config import HELD_OUT, PARTS, DataConfig
from qweft.data.conversation import Conversation
from qweft.data.encoder import Encoder
from qweft.data.report import DataReport, make_report
from qweft.data.sources import Source, read_sources
from qweft.data.split.split import SplitSizes, split
from qweft.data.template import with_template
from qweft.data.tokens import Encoded, learn_all

LEAST_HELD_OUT = 8
MOST_HELD_OUT = 64
"""Limits of a held-out part whose size is not given."""


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
        rows = self.train + self.validation
        return rows + self.test if split == "test" else rows

    def held_out(self, split: str) -> list[Encoded]:
        """Return the rows of "validation" or "test"."""
        return self.test if split == "test" else self.validation

    def to_answer(self, split: str) -> list[Conversation]:
        """Return a held-out part's texts so that the first ones are of several sources in proportion."""
        texts = self.conversations[split]
        counts = [rows[split] for rows in self.report.sources.values()]
        if sum(counts) != len(texts):  # they have a source of their own
            return texts
        # the texts of each source stand together: spread each source evenly over the interval from 0 to 1
        positions: list[float] = []
        for count in counts:
            positions += [(number + 0.5) / count for number in range(count)]
        order = sorted(range(len(texts)), key=lambda index: positions[index])
        return [texts[index] for index in order]


@progress("reading the data")
def load_data(config: DataConfig, tokenizer: Any) -> Data:
    """Read, split and tokenise the data of a run; held-out rows are exactly as many as asked for."""
    tokenizer = with_template(tokenizer, config.template)
    sources = read_sources(config, tokenizer)
    return split_data(config, sources, Encoder(tokenizer, config))


def split_data(config: DataConfig, sources: Mapping[str, Source], encoder: Encoder) -> Data:
    """Split and tokenise rows that were read."""
    config = config.with_held_out(_default_held_out(config, sources))
    sizes = SplitSizes(config.train_rows, config.validation_rows or 0, config.test_rows or 0)
    training = [sources[entry.source] for entry in config.training_sources]
    elsewhere = {part: sources[name] for part, name in config.sources_elsewhere.items()}
    parts = split(training, sizes, config.split_seed, encoder.is_usable, elsewhere)
    conversations = parts.conversations
    # the split has encoded them already, to see which are rows
    rows = {name: encoder.rows(conversations[name]) for name in PARTS}
    if config.learn == "all":
        rows["train"] = [learn_all(row) for row in rows["train"]]
    report = make_report(config, sources, encoder, parts, rows)
    return Data(**rows, conversations=conversations, report=report, tokenizer=encoder.tokenizer, config=config)


def _default_held_out(config: DataConfig, sources: Mapping[str, Source]) -> dict[str, int]:
    """Return the size of each held-out part for which none is given: a tenth of the rows of its source."""
    sizes: dict[str, int] = {}
    for part in HELD_OUT:
        # Skipped rows count: the others are then split as they are once those are mended.
        rows = sum(sources[name].rows_read for name in config.sources_of(part))
        sizes[part] = min(MOST_HELD_OUT, max(LEAST_HELD_OUT, rows // 10))
    return sizes
