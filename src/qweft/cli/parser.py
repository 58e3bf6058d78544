"""`parse` reads a YAML file and dotted options into a config dataclass; `dump_yaml` writes it back."""

from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from qweft import yaml_file
from qweft.cli.command import TRUST, Arguments, Command, help_text, split
from qweft.errors import QweftError
from qweft.files import named_path
from qweft.models.config import allow_remote_code
from qweft.schema import Reader, build, default_of, is_mapping, kinds_of, shown_value

Config = TypeVar("Config")

OWN_KEYS = {"methods": "compare", "space": "sweep", "adapter": "train"}
"""Keys that identify another command's config file; the first match counts."""
EXCLUSIVE = {"preset": "peft_type", "peft_type": "preset", "source": "sources", "sources": "source"}
"""Alternative keys that name an adapter or data. Setting one by an option removes the other."""
WRITTEN = ("output", "picture")
"""Keys that name a folder or a file to write."""
MOST_TARGETS = 1000
"""Most positional arguments of a command that takes several of a kind."""
DATA_FILES = (".jsonl", ".csv", ".parquet", ".txt", ".md")
"""Endings of data; a file in .json may be either."""
NAMELESS = Command("COMMAND", "", "", target="[CONFIG]")
"""Stands for the command where a config is parsed without one."""


def parse(config_class: type[Config], argv: Sequence[str], command: Command = NAMELESS) -> Config:
    """Returns the config that a command's arguments describe.

    A tree is the nested dict that YAML gives. Each value is checked at its source, so that an error can name the file
    or the option. Options are set in the file's checked tree, and the dataclass is built last.

    Args:
        config_class: `RunConfig` or another config dataclass.
        argv: The arguments after the command's name: at most one YAML file, and dotted options, which win over it.
        command: Provides the allowed flags, the text for `--help`, and whether a config file is required.

    Raises:
        QweftError: If the file or an option is wrong, in one sentence.
        SystemExit: With status 0, after printing the help.

    >>> from qweft.training.config import RunConfig
    >>> parse(RunConfig, ["--adapter.r", "8", "--training.learning_rate", "1e-3"]).adapter
    {'preset': 'qtha', 'r': 8}
    """
    arguments = read_arguments(argv, command)
    file = arguments.targets[0] if arguments.targets else None
    tree = {} if file is None else _config_file(config_class, file, command)
    apply_options(config_class, tree, arguments, command)
    return build(config_class, tree, file or "command line")


def parse_folder(config_class: Any, argv: Sequence[str], command: Command) -> tuple[Path, dict[str, Any], set[str]]:
    """Returns the folder that a command takes, only the keys that were given, and the flags.

    Raises:
        QweftError: If there is no such folder, or an option is wrong.
        SystemExit: With status 0, after printing the help.
    """
    arguments = read_arguments(argv, command)
    folder, given = Path(arguments.targets[0]), dict[str, Any]()
    if not folder.is_dir():
        raise QweftError(f"{folder}: no such folder; qweft {command.name} takes the folder of a trained adapter")
    apply_options(config_class, given, arguments, command)
    return folder, given, arguments.flags


def read_arguments(argv: Sequence[str], command: Command) -> Arguments:
    """Takes the arguments apart, and notes whether code of a base model may run; with `--help`, prints it and exits.

    Raises:
        QweftError: If a required target is missing, or a target is given to a command that takes none.
        SystemExit: With status 0, after the help.
    """
    most = MOST_TARGETS if command.target.endswith("...") else max(1, len(command.target.split()))
    arguments = split(argv, command.flags, most)
    if "help" in arguments.flags:
        print(help_text(command), end="")
        raise SystemExit(0)
    allow_remote_code(TRUST in arguments.flags)
    if arguments.targets and not command.target:
        raise QweftError(f"qweft {command.name} takes no arguments, got {arguments.targets[0]}")
    if not arguments.targets and command.target and not command.target.startswith("["):
        raise QweftError(f"qweft {command.name}: {command.target} is missing; for example: {command.example}")
    return arguments


def apply_options(config_class: Any, tree: dict[str, Any], arguments: Arguments, command: Command) -> None:
    """Checks each dotted option and sets it in a checked tree; field names may be typed with hyphens.

    In a file's name to write, `~` is the home folder, as the shell has it: neither YAML nor `--output=~/runs` is read
    by one.

    Raises:
        QweftError: An option is wrong, or two of them exclude each other.
    """
    names = {typed.replace("-", "_") for typed, _ in arguments.options}
    for name in sorted(names):
        section, _, key = name.rpartition(".")
        other = f"{section}.{EXCLUSIVE.get(key)}"
        if other in names:
            raise QweftError(f"--{name} and --{other} exclude each other; leave one of them out")
    for typed, text in arguments.options:
        _Options(config_class, flags=command.flags).put(tree, typed, text)
    for key in WRITTEN:
        named = tree.get(key)
        if named == "":
            raise QweftError(f"--{key}: the name is empty; give one, or leave the option out")
        if isinstance(named, str) and named.startswith("~"):
            tree[key] = str(named_path(named))


def dump_yaml(config: Any) -> str:
    """Returns the YAML of a config dataclass, with every key; `parse` reads it back to an equal config."""
    return yaml_file.dump(asdict(config))


def _config_file(config_class: Any, file: str, command: Command) -> dict[str, Any]:
    """Returns a config file's checked tree; rejects data files and other commands' configs with a specific error."""
    name = f"qweft {command.name}"
    if _is_data(Path(file)):
        way = f"give the data as --data.source {file}"
        if not command.target.startswith("["):
            way = f"for example {name} {command.example.split()[2]} --data.source {file}"
        what = ", got a folder" if Path(file).is_dir() else ""
        if what and any((Path(file) / kept).exists() for kept in ("run.json", "results.json", "adapter_config.json")):
            raise QweftError(
                f"{file}: {name} takes a config file (YAML) there, got the folder of a run or an adapter; "
                "give the config file itself"
            )
        raise QweftError(f"{file}: {name} takes a config file (YAML) there{what}; {way}")
    tree = yaml_file.read(file)
    for key, owner in OWN_KEYS.items():
        if key in tree and key not in kinds_of(config_class):
            raise QweftError(f"{file}: {key} stands in a config of qweft {owner}, and {name} takes another one")
    return Reader(config_class, file).check(config_class, tree, "")


def _is_data(file: Path) -> bool:
    """Whether a file is one of data by its ending, or JSON that begins with a list; a folder can be nothing else."""
    ending = file.suffix.lower()
    if file.is_dir():
        return True
    if ending != ".json" or not file.is_file():
        return ending in DATA_FILES and file.is_file()
    try:
        with file.open("rb") as read:
            return read.read(100).removeprefix(BOM_UTF8).lstrip().startswith(b"[")
    except OSError:
        return False  # what is wrong is said where it is read as a config


class _Options(Reader):
    """Also sets single values in a checked tree."""

    def put(self, tree: dict[str, Any], typed: str, text: str | None) -> None:
        """Sets one option in a checked tree and leaves its other keys unchanged.

        A dict of dataclasses (`methods`) accepts options only for entries that it has, so that a mistyped method is an
        error and not a new method. A dict that is not in the tree starts from its default.
        """
        kind, path = self.root, typed.split(".")
        for depth, key in enumerate(path, 1):
            name, above = ".".join(path[:depth]), dict[str, Any] if kind is Any else kind
            key = key.replace("-", "_") if key.replace("-", "_") in kinds_of(above) else key
            kind = self.known(above, key, name)
            if depth == len(path):
                break
            if key not in tree and is_mapping(above) and is_dataclass(kind):
                raise self.unknown(name, tree)
            default = default_of(above, key) if is_dataclass(above) else None
            tree = tree.setdefault(key, default if isinstance(default, dict) else {})
            if not isinstance(tree, dict):
                raise self.fault(typed, f"{name} is {shown_value(tree)} and has no keys")
        if text is None:
            raise self.fault(typed, "expected a value after it")
        tree.pop(EXCLUSIVE.get(key, ""), None)
        tree[key] = self.typed(kind, text, typed)
