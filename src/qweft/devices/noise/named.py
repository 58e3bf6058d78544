"""Noise models by name, or from a file."""

from pathlib import Path
from typing import Any

import yaml

from qweft.devices.errors import DeviceError
from qweft.devices.noise.model import NoiseModel

PAPER = NoiseModel(
    "paper",
    "on record in the authors' public code as the noise model of their chip; pyqpanda3 0.5.1 tells what it means",
    one_qubit=0.01,
    two_qubit=0.1,
    readout=((0.95, 0.05), (0.1, 0.9)),
    channel="each",
)
NAMED = {model.name: model for model in (PAPER,)}

KEYS = {"one_qubit", "two_qubit", "readout"}
OPTIONAL = {"channel", "source"}


def noise_model(name: str | None) -> NoiseModel:
    """The model of that name, or of a YAML file at that path; the paper's where none is named.

    A file holds the fields of `NoiseModel` but for its name, which is the file's; `channel` and `source` may be left
    out.

    Raises:
        DeviceError: If there is neither, or the file holds something else.
    """
    if name is None:
        return PAPER
    if name in NAMED:
        return NAMED[name]
    path = Path(name).expanduser()
    if not path.is_file():
        raise DeviceError(f"there is no noise model {name}; name one of {', '.join(NAMED)}, or a YAML file")
    return _from_file(path)


def _from_file(path: Path) -> NoiseModel:
    try:
        fields = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DeviceError(f"{path} is no YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(fields, dict) or not KEYS <= set(fields) <= KEYS | OPTIONAL:
        found = ", ".join(map(str, fields)) if isinstance(fields, dict) else repr(fields)
        raise DeviceError(
            f"{path}: a noise model has the keys {', '.join(sorted(KEYS))}, and may have "
            f"{' and '.join(sorted(OPTIONAL))}; this file has {found}"
        )
    return NoiseModel(
        path.stem,
        str(fields.get("source", f"from {path.name}")),
        _number(path, "one_qubit", fields["one_qubit"]),
        _number(path, "two_qubit", fields["two_qubit"]),
        _matrix(path, fields["readout"]),
        fields.get("channel", "each"),
    )


def _number(path: Path, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DeviceError(f"{path}: {key} is {value!r}, expected a number from 0 to 1")
    return float(value)


def _matrix(path: Path, value: Any) -> tuple[tuple[float, float], tuple[float, float]]:
    if not (
        isinstance(value, list) and len(value) == 2 and all(isinstance(row, list) and len(row) == 2 for row in value)
    ):
        raise DeviceError(f"{path}: readout is {value!r}, expected [[p(0|0), p(1|0)], [p(0|1), p(1|1)]]")
    zero, one = ([_number(path, "readout", entry) for entry in row] for row in value)
    return (zero[0], zero[1]), (one[0], one[1])
