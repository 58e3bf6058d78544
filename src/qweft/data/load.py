"""The rows of a run: read, split and tokenised."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qweft.core.progress import progress
from qweft.data.config import HELD_OUT, PARTS, DataConfig
from qweft.data.conversation import Conversation
from qweft.data.encoder import Encoder
from qweft.data.notes import describe_overlap, template_notes
from qweft.data.report import DataReport, PartReport, fingerprint
from qweft.data.sources import Source, read_sources
from qweft.data.split.split import Split, SplitSizes, split
from qweft.data.template import with_template
from qweft.data.tokens import Encoded, learn_all, target_tokens, total_tokens

LEAST_HELD_OUT, MOST_HELD_OUT = 8, 64
"""Limits of a held-out part whose size is not given."""
TOO_LONG = "too long for data.max_length"


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
    elsewhere = {part: sources[source] for part, source in _sources_elsewhere(config).items()}
    parts = split(_training_sources(config, sources), sizes, config.split_seed, encoder.is_usable, elsewhere)
    conversations = parts.conversations
    rows = {name: encoder.rows(conversations[name]) for name in PARTS}
    if config.learn == "all":
        rows["train"] = [learn_all(row) for row in rows["train"]]
    report = _make_report(config, sources, encoder, parts, rows)
    return Data(**rows, conversations=conversations, report=report, tokenizer=encoder.tokenizer, config=config)


def _training_sources(config: DataConfig, sources: Mapping[str, Source]) -> list[Source]:
    return [sources[entry.source] for entry in config.training_sources]


def _sources_elsewhere(config: DataConfig) -> dict[str, str]:
    """Return the source of each held-out part that has its own."""
    names = {part: config.source_of(part) for part in HELD_OUT}
    return {part: name for part, name in names.items() if name != config.source}


def _default_held_out(config: DataConfig, sources: Mapping[str, Source]) -> dict[str, int]:
    """Return the size of each held-out part for which none is given: a tenth of the rows of its source."""
    sizes: dict[str, int] = {}
    for part in HELD_OUT:
        # Skipped rows count: the others are then split as they are once those are mended.
        rows = sum(sources[name].rows_read for name in config.sources_of(part))
        sizes[part] = min(MOST_HELD_OUT, max(LEAST_HELD_OUT, rows // 10))
    return sizes


def _make_report(
    config: DataConfig,
    sources: Mapping[str, Source],
    encoder: Encoder,
    parts: Split,
    rows: Mapping[str, Sequence[Encoded]],
) -> DataReport:
    """Return the counts of rows that were split and tokenised."""
    training = _training_sources(config, sources)
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
        held_out=_sources_elsewhere(config),
        sources={} if config.sources is None else _count_by_source(training, parts),
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


def _count_by_source(training: Sequence[Source], parts: Split) -> dict[str, dict[str, int]]:
    """Return the rows of each of several sources, and those in each part, by the source's name."""
    counts: dict[str, dict[str, int]] = {}
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
