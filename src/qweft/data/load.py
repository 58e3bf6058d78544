"""Loading the rows of a run: read, split and tokenised."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qweft.data.checks import check_data_config
from qweft.data.columns import renamed
from qweft.data.config import HELD_OUT, LEAST_HELD_OUT, DataConfig
from qweft.data.conversation import Conversation, text_group
from qweft.data.formats import format_of, to_conversation
from qweft.data.naming import of_named, unread_of
from qweft.data.read import beside_training, read_rows
from qweft.data.report import COLUMNS, DataReport, PartReport, fingerprint, part_report
from qweft.data.split import Share, TooFewRowsError, split
from qweft.data.template import render, shows_tools, with_template
from qweft.data.tokens import Encoded, answer_count, fit, is_longer, learn_all, no_end, tokenise, windows
from qweft.data.turns import RowError, UnknownFormatError
from qweft.errors import QweftError
from qweft.text import many, progress


@dataclass(frozen=True)
class Data:
    """The training, validation and test rows of a run.

    Args:
        train: Training rows.
        validation: Rows for choosing learning rates and checkpoints.
        test: Rows for the reported results.
        train_conversations: Text of each training row, in the same order.
        validation_conversations: Text of each validation row, in the same order.
        test_conversations: Text of each test row, in the same order.
        report: Counts of rows read, cut and left out.
        tokenizer: Tokenizer that made the rows: the model's, with the template of the config if it has one. Use it
            for prompts too.
        config: The config with the numbers of held-out rows that were used.
    """

    train: list[Encoded]
    validation: list[Encoded]
    test: list[Encoded]
    train_conversations: list[Conversation]
    validation_conversations: list[Conversation]
    test_conversations: list[Conversation]
    report: DataReport
    tokenizer: Any = field(default=None, repr=False, compare=False)
    config: DataConfig = field(default_factory=DataConfig, repr=False, compare=False)

    def rows(self, split: str) -> list[Encoded]:
        """Return the rows that a run reads: for training, validation and, where `split` is "test", for the results."""
        return [*self.train, *self.validation, *(self.test if split == "test" else ())]

    def to_answer(self, split: str) -> list[Conversation]:
        """Return a held-out part's texts in an order in which the first ones are of several sources in proportion.

        The rows themselves stand source after source, which the fingerprint holds.
        """
        texts = self.test_conversations if split == "test" else self.validation_conversations
        counts = [each[split] for each in self.report.sources.values()]
        if sum(counts) != len(texts):  # they have a source of their own
            return texts
        places = [(place + 0.5) / count for count in counts for place in range(count)]
        return [texts[number] for number in sorted(range(len(texts)), key=places.__getitem__)]


@dataclass
class _Encoder:
    """Encodes conversations when the split needs them, each at most once, and records what was cut or dropped."""

    tokenizer: Any
    config: DataConfig
    whole: Mapping[Conversation, Encoded] = field(default_factory=dict)
    rows: dict[Conversation, Encoded | None] = field(default_factory=dict)
    cut: set[Conversation] = field(default_factory=set)
    only_last: set[Conversation] = field(default_factory=set)
    dropped: set[Conversation] = field(default_factory=set)
    nothing_learned: set[Conversation] = field(default_factory=set)

    def usable(self, conversation: Conversation) -> bool:
        """Return whether a row has a learned token after `fit`."""
        if conversation not in self.rows:
            self.rows[conversation] = self._encode(conversation)
        return self.rows[conversation] is not None

    def _encode(self, conversation: Conversation) -> Encoded | None:
        limit, overlong = self.config.max_length, self.config.overlong
        if overlong == "drop" and conversation not in self.whole and is_longer(conversation, self.tokenizer, limit):
            self.dropped.add(conversation)
            return None
        whole = self.whole.get(conversation) or tokenise(conversation, self.tokenizer)
        row = fit(whole, limit, overlong)
        long = len(whole["input_ids"]) > limit
        if row is None:
            (self.dropped if long and overlong == "drop" else self.nothing_learned).add(conversation)
        elif long:
            self.cut.add(conversation)
        if row is not None and answer_count(whole) < sum(turn.role == "assistant" for turn in conversation.messages):
            self.only_last.add(conversation)
        return row

    def part(self, conversations: Sequence[Conversation]) -> list[Encoded]:
        return [row for conversation in conversations if (row := self.rows[conversation]) is not None]

    def report(self, conversations: Sequence[Conversation], rows: Sequence[Encoded]) -> PartReport:
        groups = len({conversation.group for conversation in conversations})
        cut = sum(conversation in self.cut for conversation in conversations)
        only_last = sum(conversation in self.only_last for conversation in conversations)
        return part_report(rows, groups, cut, only_last)


@progress("reading the data")
def load_data(config: DataConfig, tokenizer: Any, whole: Mapping[Conversation, Encoded] | None = None) -> Data:
    """Read, split and tokenise the data of a run.

    Only rows that the split needs are tokenised. The numbers of validation and test rows are exact: a row that is too
    long or has no token to learn is skipped, and the next row takes its place.

    Args:
        config: The data config.
        tokenizer: The model's tokenizer.
        whole: Conversations that are already tokenised: with the template of the config, not cut, without `learn`.

    Raises:
        QweftError: The config is out of range, the source cannot be read, a row has no answer, there are too few rows,
            or no row is left to learn from. The last message shows a row.
    """
    check_data_config(config)
    tokenizer = with_template(tokenizer, config.template)
    skipped: dict[str, list[tuple[str, str]]] = {}
    unread: Counter[str] = Counter()
    sources, left_out = _read(config, tokenizer, skipped, unread)
    several = [] if config.sources is None else config.sources
    shares = [Share(each.source, sources[each.source], each.weight, each.rows) for each in several]
    conversations = [row for each in shares for row in each.conversations] or sources[config.source]
    sources.setdefault(config.source, conversations)
    # Skipped rows count: the others are then split as they are once those are mended.
    sizes = {source: len(rows) + len(skipped.get(source, ())) for source, rows in sources.items()}
    sizes[config.source] = sum(sizes[each.source] for each in config.training_sources)
    by_default = tuple(part for part in HELD_OUT if getattr(config, f"{part}_rows") is None)
    config = config.sized({part: sizes[config.source_of(part)] for part in HELD_OUT})
    encoder = _Encoder(tokenizer, config, whole or {})
    try:
        parts = split(
            conversations,
            config.validation_rows or 0,
            config.test_rows or 0,
            config.split_seed,
            config.train_rows,
            encoder.usable,
            sources[config.source_of("validation")],
            sources[config.source_of("test")],
            shares,
        )
    except TooFewRowsError as fault:
        raise _too_few(fault, encoder, conversations, by_default) from fault
    chosen = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    rows = {name: encoder.part(part) for name, part in chosen.items()}
    if config.learn == "all":
        rows["train"] = [learn_all(row) for row in rows["train"]]
    held_out = _held_out(config)
    others = {*held_out.values()} - {each.source for each in config.training_sources}
    every = [*conversations, *(conversation for source in others for conversation in sources[source])]
    places = [config.file] if config.file is not None else [each.source for each in config.training_sources]
    report = DataReport(
        source=config.source,
        rows=len(conversations),
        groups=len({conversation.group for conversation in conversations}),
        max_length=config.max_length,
        dropped=sum(conversation in encoder.dropped for conversation in every),
        nothing_learned=sum(conversation in encoder.nothing_learned for conversation in every),
        left_over=parts.left_over,
        parts={name: encoder.report(part, rows[name]) for name, part in chosen.items()},
        fingerprint=fingerprint(rows),
        held_out=held_out,
        held_out_rows={part: len(sources[source]) for part, source in held_out.items()},
        too_many_characters=left_out,
        asked_elsewhere=parts.asked_elsewhere,
        skipped=skipped,
        tools_as_text=_tools_as_text(conversations, tokenizer),
        by_default=by_default,
        sources=_counts(shares, chosen),
        no_end="" if all(conversation.is_text for conversation in conversations) else no_end(tokenizer),
        wanted=config.train_rows if len(rows["train"]) < (config.train_rows or 0) else None,
        beside_training=tuple(filter(None, map(beside_training, places))),
        unread=dict(unread.most_common(COLUMNS + 1)),
    )
    train, validation, test = (list(part) for part in chosen.values())
    return Data(rows["train"], rows["validation"], rows["test"], train, validation, test, report, tokenizer, config)


def _counts(shares: Sequence[Share], chosen: Mapping[str, Sequence[Conversation]]) -> dict[str, dict[str, int]]:
    """Return the rows of each of several sources, and those in each part, by the source's name."""
    of = {id(row): each.name for each in shares for row in each.conversations}  # equal rows may be in two sources
    found = {name: Counter(of.get(id(row)) for row in part) for name, part in chosen.items()}
    return {
        each.name: {"rows": len(each.conversations), **{part: found[part][each.name] for part in chosen}}
        for each in shares
    }


def _tools_as_text(conversations: Sequence[Conversation], tokenizer: Any) -> int:
    found = sum(conversation.has_tools for conversation in conversations)
    return 0 if found and shows_tools(tokenizer) else found


def _read(
    config: DataConfig, tokenizer: Any, skipped: dict[str, list[tuple[str, str]]], unread: Counter[str]
) -> tuple[dict[str, list[Conversation]], int]:
    """Return the rows by source, plain texts in windows, and the number of rows over `max_characters`.

    Args:
        config: The data config.
        tokenizer: The model's tokenizer.
        skipped: Receives place and fault of each row that was left out, by source.
        unread: Receives the number of rows with something in each column that is not read.
    """
    found: dict[str, list[Conversation]] = {}
    left_out = 0
    own = {each.source for each in config.training_sources}
    for source, key in _places(config):
        rows = found[source] = []
        faults: list[tuple[str, str]] = []
        read = 0
        for _, conversation in _conversations(config, source, key, faults, unread):
            read += 1
            if source in own and not has_room(conversation, config):
                left_out += 1
            else:
                rows += windows(conversation, tokenizer, config.max_length)
        if faults:
            skipped[source] = faults
        if not rows:
            short = " of at most so many characters as data.max_characters says" if left_out else ""
            first = (
                f"; none of {many(len(faults), 'row')} can be read, the first since {faults[0][1]}" if faults else ""
            )
            raise QweftError(f"data {source}: there are no rows{short} in it{first}")
        if own == {source} and read < _parts(config):
            # whole texts could not fill the parts, so each piece is a group
            rows[:] = [replace(row, group=text_group(row.messages[0])) if row.is_text else row for row in rows]
    return found, left_out


def _parts(config: DataConfig) -> int:
    """Return the number of parts that take rows of the training source."""
    own = [part for part in HELD_OUT if config.source_of(part) == config.source]
    return 1 + sum(getattr(config, f"{part}_rows") != 0 for part in own)


def _places(config: DataConfig) -> Iterator[tuple[str, str]]:
    """Yield each source of the training and held-out rows once, with the config key that names it."""
    key = "data.source" if config.sources is None else "data.sources"
    named = {each.source: key for each in config.training_sources}
    for part in HELD_OUT:
        if config.source_of(part) != config.source:
            named.setdefault(config.source_of(part), f"data.{part}_source")
    yield from named.items()


def read_conversations(config: DataConfig) -> Iterator[tuple[str, Conversation]]:
    """Yield (format, conversation) of each row of the training sources.

    Rows that cannot be read are left out if `skip_bad_rows` is set.

    Raises:
        QweftError: A source cannot be read, or a row cannot and is not to be left out.
    """
    for source, key in _places(config):
        if source in {each.source for each in config.training_sources}:
            yield from _conversations(config, source, key, [])


def _conversations(
    config: DataConfig,
    source: str,
    key: str,
    skipped: list[tuple[str, str]],
    unread: Counter[str] | None = None,
) -> Iterator[tuple[str, Conversation]]:
    """Yield (format, conversation) of each row of a source.

    `max_rows` and `file` apply to training sources only, not to a validation or test source of its own.

    Args:
        config: The data config.
        source: One of the sources of `config`.
        key: The config key that names it.
        skipped: Receives place and fault of each row that is left out, if `skip_bad_rows` is set.
        unread: Receives the number of rows with something in each column that is not read.
    """
    faults = skipped if config.skip_bad_rows else None
    own = next((each for each in config.training_sources if each.source == source), None)
    columns = config.columns if own is None else own.columns or config.columns
    names = [each.source for each in config.sources or ()]
    has_own = own is not None and bool(own.columns) and source in names
    named_by = f"data.sources[{names.index(source)}].columns" if has_own else "data.columns"
    if own is None:
        rows = read_rows(source, key=key, skipped=faults)
    else:
        rows = read_rows(source, config.max_rows, config.file, key, faults)
    some_read = False
    try:
        for where, row in rows:
            try:
                named = of_named(renamed(row, columns, where, named_by), columns, where, named_by)
                conversation = to_conversation(named, where)
            except RowError as fault:
                if faults is None:
                    raise
                faults.append((fault.where, fault.what))
            else:
                some_read = True
                name = format_of(named)
                if unread is not None:
                    unread.update(unread_of(row, named, name, columns))
                yield name, conversation
    except RowError as fault:
        if isinstance(fault, UnknownFormatError) and not some_read:
            raise  # leaving such rows out would leave none
        raise QweftError(f"{fault}; --data.skip_bad_rows true leaves such rows out") from fault


def has_room(conversation: Conversation, config: DataConfig) -> bool:
    """Return whether a row of a training source is within `max_characters`."""
    return config.max_characters is None or conversation.characters <= config.max_characters


def _held_out(config: DataConfig) -> dict[str, str]:
    """Return the sources of held-out parts that differ from `source`, by part."""
    parts = {part: config.source_of(part) for part in HELD_OUT}
    return {part: source for part, source in parts.items() if source != config.source}


def _too_few(
    fault: TooFewRowsError, encoder: _Encoder, conversations: Sequence[Conversation], by_default: Sequence[str]
) -> QweftError:
    """Return the error for too few rows, with what left them out."""
    config = encoder.config
    if encoder.rows and not any(encoder.rows.values()):
        return _nothing_left(config, encoder.tokenizer, conversations[0], len(encoder.rows))
    if encoder.dropped or encoder.nothing_learned:
        for conversation in conversations:
            encoder.usable(conversation)  # those that the split did not come to
        out = len(encoder.dropped | encoder.nothing_learned)
        return QweftError(f"{fault} ({out:,} rows are too long: raise max_length {config.max_length})")
    if by_default:
        least = f"at least {LEAST_HELD_OUT} rows"
        return QweftError(f"{fault} (where a number is not given, {least} are held out for each)")
    return fault


def _nothing_left(config: DataConfig, tokenizer: Any, shown: Conversation, tried: int) -> QweftError:
    text = render(shown.messages, tokenizer)
    length = len(tokenise(shown, tokenizer)["input_ids"])
    what = "longer than" if config.overlong == "drop" else "without an answer token within"
    return QweftError(
        f"data {config.source}: no row is left to learn from, all {tried} are {what} max_length {config.max_length} "
        f"tokens: raise max_length; the first row has {length} tokens: {text[:300]!r}"
    )
