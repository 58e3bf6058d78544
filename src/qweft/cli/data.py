"""`qweft data`."""

from dataclasses import dataclass, field, replace
from functools import partial

from qweft.cli.command import JSON, Command
from qweft.cli.parser import Call
from qweft.data.config import DataConfig
from qweft.data.formats import known
from qweft.errors import QweftError
from qweft.models.config import ModelConfig
from qweft.schema import build


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
    f"{known()}. Other names are given by --data.columns.",
    example="qweft data check rows.jsonl --data.max_length 512",
    target="VERB SOURCE",
    target_help="check SOURCE (a file, a folder, embedded:NAME, a name, or a hub id), check with --data.sources, or "
    "list.",
    flags=JSON,
    options=CheckConfig,
    verbs=("check", "list"),
)


def run(call: Call) -> None:
    """Check or list the data, and print the result."""
    verb, *sources = call.targets
    tree = call.given()
    named = {key: value for key in ("source", "sources") if (value := tree.get("data", {}).get(key)) is not None}
    given = [*sources, *(f"--data.{key}" for key in named)]
    if len(given) != (1 if verb == "check" else 0):
        expected = f"the data once; for example: {COMMAND.example}" if verb == "check" else "nothing after it"
        raise QweftError(f"qweft data {verb}: got {' and '.join(given) or 'nothing'}, expected {expected}")
    if verb == "list":
        from qweft.data.check import describe_named, named_data

        call.answer(named_data, describe_named)
        return
    config: CheckConfig = build(CheckConfig, tree, "command line")
    from qweft.data.checks import check_data_config, check_places
    from qweft.models.resolve import check_model, resolve

    data = replace(config.data, source=sources[0]) if sources else config.data
    check_data_config(data)
    check_places(data)
    check_model(config.model, needs_weights=False)
    from qweft.data.check import check_data
    from qweft.evaluation.loss import check_room
    from qweft.evaluation.record import tell
    from qweft.models.load import load_model, load_tokenizer

    source, room = resolve(config.model), None
    try:
        room = partial(check_room, load_model(replace(config.model, device="meta")).model)
    except QweftError as error:  # no fault of the data
        tell(f"note: the rows are not held against the model's positions: {error}")
    checked = check_data(data, load_tokenizer(source), source.name, room)
    call.answer(checked.to_json, checked.describe)
