"""The JSON schemas of config files: what they hold, what they refuse, and that they refuse nothing that is read."""

import copy
import json
import re
from functools import cache

import pytest
from jsonschema import Draft202012Validator

from qweft.cli.main import main
from qweft.cli.schema import FILES, schema_of
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.search.space import TuneConfig
from qweft.core import yaml_file
from qweft.core.errors import QweftError
from qweft.core.reader import Reader, build
from qweft.method.specification import check_specification
from qweft.training.config import RunConfig
from tests.test_configs import CONFIGS, ROOT

CLASSES = {"train": RunConfig, "compare": ComparisonConfig, "tune": TuneConfig}


@cache
def validator(name):
    return Draft202012Validator(schema_of(name))


def kind_of(path):
    return re.search(rf"qweft (\w+) {re.escape(path.relative_to(ROOT).as_posix())}", path.read_text())[1]


def refused(name, tree):
    """The words of the reader, or of the check of an adapter or a space, about a config; `None` if it is taken."""
    try:
        config = build(CLASSES[name], Reader(CLASSES[name], "x").check(CLASSES[name], copy.deepcopy(tree), ""), "x")
        specifications = [config.adapter] if name == "train" else [each.adapter for each in config.methods.values()]
        for each in specifications:
            check_specification(each)
    except QweftError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", CLASSES)
def test_the_files_that_editors_read_are_those_of_the_command(name, capsys):
    assert main(["schema", name]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out == (ROOT / "docs" / "schema" / f"{name}.json").read_text(encoding="utf-8"), (
        f"qweft schema {name} > docs/schema/{name}.json"
    )
    Draft202012Validator.check_schema(json.loads(out))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_an_example_names_its_schema_and_is_valid(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    whose = FILES[kind_of(path)]
    assert (path.parent / named).resolve() == ROOT / "docs" / "schema" / f"{whose}.json"
    tree = yaml_file.read(str(path))
    assert [error.message for error in validator(whose).iter_errors(tree)] == []


WRONG = [
    ("train", "training: {learning_rat: 1}", "learning_rat"),
    ("train", "data: {overlong: cu}", "'cu' is not one of"),
    ("train", "training: {batch_size: 4.5}", "4.5 is not of type"),
    ("train", "training: 3", "3 is not of type 'object', 'null'"),
    ("train", "adapter: {preset: qhta}", "'qhta' is not valid"),
    ("train", "adapter: {preset: qtha, circuit_layer: 2}", "circuit_layer"),
    ("train", "adapter: {preset: qtha, r: '8'}", "'8' is not of type 'integer'"),
    ("train", "adapter: {r: 8}", "is not valid under any of the given schemas"),
    ("train", "adapter: {preset: qtha, peft_type: LORA}", "'LORA' is not of type 'null'"),
    ("compare", "seeds: [0]", "'methods' is a required property"),
    ("compare", "methods: {a: {}}", "'adapter' is a required property"),
    ("compare", "methods: {a: {adapter: {preset: mpo, rr: 1}}}", "rr"),
    ("compare", "methods: {a: {adapter: {preset: mpo}}}\nrates: [a]", "is not valid"),
    ("tune", "methods: {}\nspace: {r: 4}", "4 is not of type 'object', 'null'"),
    ("tune", "methods: {}\nspace: {r: {value: [1]}}", "value"),
    ("tune", "methods: {}\ntrials: 0", "0 is less than the minimum of 1"),
]


@pytest.mark.parametrize(("name", "text", "expected"), WRONG)
def test_what_is_wrong_is_found_as_the_command_finds_it(name, text, expected):
    tree = yaml_file.load(text, "x")
    assert refused(name, tree) is not None
    messages = [error.message for error in validator(name).iter_errors(tree)]
    assert any(expected in each for each in messages), messages


def test_a_plain_no_is_a_choice_of_that_name(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("resume: no")
    assert Reader(RunConfig, "x").check(RunConfig, yaml_file.read(str(file)), "") == {"resume": "no"}
    assert validator("train").is_valid({"resume": False}) and not validator("train").is_valid({"resume": True})
