"""`qweft data`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from qweft.cli.command import Command
from qweft.cli.parser import apply_options, read_arguments
from qweft.cli.terminal import only_json, print_json, show
from qweft.data.config import DataConfig
from qweft.data.formats import known
from qweft.errors import QweftError
from qweft.files import named_path
from qweft.models.config import ModelConfig
from qweft.schema import build
from qweft.text import near

VERBS = ("check", "list")


@dataclass(frozen=True)
class CheckConfig:
    """What `qweft data check` reads.

    Args:
        data: The data; `source` comes from the argument after check.
        model: The model whose tokenizer and chat template are used. Its weights are not loaded.
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)


COMMAND = Command(
    name="data",
    description="Look at data before anything is trained. check: the format, the lengths in tokens, what would be cut, "
    "what the split gives, what training and held-out rows share, and three rows as the model sees them, with what is "
    "learned marked. list: the data sets that have a name. The columns of a row tell its format: "
    f"{'; '.join(known())}. Other names are given by --data.columns.",
    example="qweft data check rows.jsonl --data.max_length 512",
    target="VERB SOURCE",
    target_help="check SOURCE (a file, a folder, embedded:NAME, a name, or a hub id), check with --data.sources, or "
    "list.",
    flags={"json": "Print it as JSON, and nothing else, on standard output."},
    options=CheckConfig,
    verbs=VERBS,
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments, checks or lists the data, and prints the result."""
    arguments = read_arguments(argv, COMMAND)
    verb, *sources = arguments.targets
    tree: dict[str, Any] = {}
    apply_options(CheckConfig, tree, arguments, COMMAND)
    _check(verb, sources, tree.get("data", {}))
    wants_json = "json" in arguments.flags
    if verb == "list":
        _list(wants_json)
        return
    config: CheckConfig = build(CheckConfig, tree, "command line")
    with only_json(wants_json):
        from qweft.data.checks import check_data_config, check_places
        from qweft.models.resolve import check_model, resolve

        data = replace(config.data, source=sources[0]) if sources else config.data
        check_data_config(data)
        check_places(data)
        check_model(config.model, needs_weights=False)
        from qweft.data.check import check_data
        from qweft.data.describe import describe
        from qweft.evaluation.loss import check_room
        from qweft.evaluation.record import tell
        from qweft.models.load import load_model, load_tokenizer

        source = resolve(config.model)
        room = None
        try:
            room = partial(check_room, load_model(replace(config.model, device="meta")).model)
        except QweftError as error:  # no fault of the data
            tell(f"note: the rows are not held against the model's positions: {error}")
        found = check_data(data, load_tokenizer(source), source.name, room)
    if wants_json:
        print_json(found.to_json())
    else:
        show(describe(found))


def _check(verb: str, sources: list[str], data: Mapping[str, Any]) -> None:
    given = [f"--data.{key}" for key in ("source", "sources") if data.get(key) is not None]
    if verb not in VERBS:
        close = near(verb, VERBS, cutoff=0.75)
        way = f"did you mean {close[0]}?" if close else f"there are {', '.join(VERBS)}"
        way = f"did you mean qweft data check {verb}?" if named_path(verb).exists() else way
        raise QweftError(f"qweft data: there is no {verb}; {way}")
    if verb == "list":
        if sources or given:
            raise QweftError(f"qweft data list: expected nothing after it, got {' '.join([*sources, *given])}")
    elif sources and given:
        raise QweftError(f"qweft data check: {given[0]} gives data a second time, after {sources[0]}; leave one out")
    elif given == ["--data.source"]:
        raise QweftError(f"qweft data check: give the data without --data.source: qweft data check {data['source']}")
    elif not sources and not given:
        raise QweftError(f"qweft data check: the data to look at are missing; for example: {COMMAND.example}")


def _list(wants_json: bool) -> None:
    from qweft.data.describe import describe_sources
    from qweft.data.embedded import EMBEDDED_DATA, PREFIX
    from qweft.data.hub import NAMED

    if wants_json:
        named = [{"name": each.name, "hub": each.source, "about": each.about} for each in NAMED]
        embedded = [*EMBEDDED_DATA, f"{PREFIX}TASK"]
        print_json([*({"name": f"embedded:{name}"} for name in embedded), *named])
    else:
        show(describe_sources())
