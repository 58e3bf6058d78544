"""`qweft init`."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qweft.cli.command import Command
from qweft.cli.parser import apply_options, read_arguments
from qweft.cli.terminal import show
from qweft.comparison.starter import (
    InitOptions,
    commented,
    is_config,
    short_name,
    starter,
    unfit_of,
)
from qweft.errors import QweftError
from qweft.models.config import ModelConfig
from qweft.schema import build

FIRST_ROWS = 1
"""Rows of the data that are read to know their format."""

COMMAND = Command(
    name="init",
    description="Write the config with which `qweft compare DATA` answers which adapter to use, with a comment on each "
    "section: for those who want to change it first.",
    example="qweft init my.csv --budget 20min,200k --output my.yaml",
    target="DATA",
    target_help="The data: a file (.csv, .jsonl, .json, .parquet, .txt), a folder of them, embedded:NAME, or a hub id.",
    options=InitOptions,
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments, checks that the data are there, and writes the config."""
    arguments = read_arguments(argv, COMMAND)
    source = arguments.targets[0]
    if is_config(source):
        raise QweftError(f"qweft init takes data, and {source} is a config; run it with qweft compare {source}")
    given: dict[str, object] = {}
    apply_options(InitOptions, given, arguments, COMMAND)
    options: InitOptions = build(InitOptions, given, "command line")
    from qweft.data.checks import check_data_config, check_places
    from qweft.models.resolve import check_model

    model = ModelConfig() if options.model is None else ModelConfig(name=options.model)
    data = replace(options.data, source=source)
    check_data_config(data)
    check_places(data)
    if Path(source).exists():  # of the hub nothing is fetched for a config
        from qweft.data.load import read_conversations

        next(read_conversations(replace(data, max_rows=FIRST_ROWS)), None)
    tree = starter(source, model, options.preset, options.budget)
    check_model(model, needs_weights=False)
    tree["data"].update({**(given.get("data") or {}), "source": source})  # type: ignore[dict-item]
    path = Path(options.output or f"{short_name(source)}.yaml")
    if not is_config(path.name):
        raise QweftError(f"--output {path}: the name of a config ends in .yaml")
    command = f"qweft compare {shlex.quote(str(path))}"
    _write(path, commented(tree, command))
    if unfit := unfit_of(model, options.preset):
        show(f"left out, as they do not go with this base model: {', '.join(unfit)}")
    show(f"written: {path}, {len(tree['methods'])} methods, budget {tree['budget']}\nrun it: {command}")


def _write(path: Path, text: str) -> None:
    """Writes a new file.

    Raises:
        QweftError: Something has that name, or it cannot be written.
    """
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with open(made, "w", encoding="utf-8") as file:
                file.write(text)
        except BaseException:  # Ctrl-C, too: no half of a config stays
            path.unlink(missing_ok=True)
            raise
    except FileExistsError as error:
        raise QweftError(f"{path} is there already; give another --output, or remove it") from error
    except OSError as error:
        raise QweftError(f"{path} cannot be written ({error.strerror}); give another --output") from error
