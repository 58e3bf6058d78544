"""`qweft init`."""

import os
import shlex
from dataclasses import replace
from pathlib import Path

from qweft.cli.command import Command
from qweft.cli.parser import Call
from qweft.cli.terminal import show
from qweft.comparison.starter import InitOptions, candidates_of, commented, is_config, short_name, starter, unfit_of
from qweft.errors import QweftError
from qweft.files import write_bytes
from qweft.models.config import ModelConfig
from qweft.schema import build

COMMAND = Command(
    name="init",
    description="Write the config with which `qweft compare DATA` answers which adapter to use, with a comment on each "
    "section: for those who want to change it first.",
    example="qweft init my.csv --budget 20min,200k --output my.yaml",
    target="DATA",
    target_help="The data: a file (.csv, .jsonl, .json, .parquet, .txt), a folder of them, embedded:NAME, or a hub id.",
    options=InitOptions,
)


def run(call: Call) -> None:
    """Check that the data are there, and write the config."""
    source = call.targets[0]
    if is_config(source):
        raise QweftError(f"qweft init takes data, and {source} is a config; run it with qweft compare {source}")
    given = call.given()
    options: InitOptions = build(InitOptions, given, "command line")
    from qweft.data.checks import check_data_config, check_places
    from qweft.models.resolve import check_model

    model = ModelConfig() if options.model is None else ModelConfig(name=options.model)
    data = replace(options.data, source=source)
    check_data_config(data)
    check_places(data)
    if Path(source).exists():  # of the hub nothing is fetched for a config
        from qweft.data.load import read_conversations

        next(read_conversations(replace(data, max_rows=1)), None)  # its format is known
    tree = starter(source, model, options.preset, options.budget)
    check_model(model, needs_weights=False)
    tree["data"].update({**given.get("data", {}), "source": source})
    path = Path(options.output or f"{short_name(source)}.yaml")
    if not is_config(path.name):
        raise QweftError(f"--output {path}: the name of a config ends in .yaml")
    if os.path.lexists(path):
        raise QweftError(f"{path} is there already; give another --output, or remove it")
    command = f"qweft compare {shlex.quote(str(path))}"
    write_bytes(path, commented(tree, command).encode())
    if unfit := unfit_of(model, candidates_of(options.preset)):
        show(f"left out, as they do not go with this base model: {', '.join(unfit)}")
    show(f"written: {path}, {len(tree['methods'])} methods, budget {tree['budget']}\nrun it: {command}")
