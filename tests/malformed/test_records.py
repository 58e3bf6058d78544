"""JSON records that are malformed, hostile or damaged: one sentence comes of each, soon, and nothing runs."""

import json
import os
import time

import pytest

from qweft.adapter.folder import read_config
from qweft.cli.main import main
from qweft.comparison.report.write import remake_report
from qweft.comparison.step_times import _read as read_step_times
from qweft.comparison.trial import read_record as read_run
from qweft.errors import QweftError
from qweft.evaluation.record import model_of, run_config, sections_of
from qweft.publish.push import plan_push
from qweft.records import MOST_BYTES, read_record
from qweft.sweep.run import _losses_in as read_losses
from qweft.training.config import RunConfig
from qweft.training.record import finished
from tests.malformed.cases import check_sentence

TEXTS = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
    "half of it": b'{"config": {',
    "deep lists": b"[" * 100_000,
    "deep mappings": b'{"a":' * 100_000,
    "NaN": b'{"config": NaN}',
    "infinity": b'{"config": -Infinity}',
    "a float that overflows": b'{"config": 1e999}',
    "an endless integer": b'{"config": ' + b"9" * 5000 + b"}",
    "an integer beyond any float": b'{"config": ' + b"9" * 400 + b"}",
    "bytes that are not UTF-8": b'{"config": "\xff"}',
}


def make_pipe(path):
    os.mkfifo(path)


def make_zeros(path):
    path.symlink_to("/dev/zero")


def make_large(path):
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)


def make_loop(path):
    path.symlink_to(path)


PLACES = {"a pipe": make_pipe, "/dev/zero": make_zeros, "a folder": lambda path: path.mkdir(), "too large": make_large,
          "a link to itself": make_loop}  # fmt: skip
CASES = [*TEXTS, *PLACES]


def put(case, path):
    """Put the case in the place of a record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        path.unlink()
    if case in TEXTS:
        path.write_bytes(TEXTS[case])
    else:
        PLACES[case](path)


def refused(what, call, *arguments):
    """See that a call ends in one sentence within two seconds; return it."""
    began = time.perf_counter()
    with pytest.raises(QweftError) as error:
        call(*arguments)
    assert time.perf_counter() - began < 2, what
    check_sentence(str(error.value), what)
    assert "\n" not in str(error.value) and ";" in str(error.value), what
    return str(error.value)


@pytest.mark.parametrize("case", CASES)
def test_every_reader_of_records_refuses_the_case_in_one_sentence(case, tmp_path):
    adapter = tmp_path / "pushed"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").touch()
    readers = {
        "x.json": lambda path: read_record(path, "remove it"),
        "run/run.json": lambda path: run_config(path.parent / "adapter"),
        "cell/run.json": read_run,
        "step_times.json": read_step_times,
        "test.json": read_losses,
        "results.json": remake_report,
        "adapter/adapter_config.json": lambda path: read_config(path.parent),
    }
    if case in TEXTS:  # what is no file is refused as an adapter before
        readers["pushed/adapter_config.json"] = lambda path: plan_push(path.parent, "me/it", base_model="me/base")
    for name, read in readers.items():
        put(case, tmp_path / name)
        sentence = refused((name, case), read, tmp_path / name)
        assert sentence.startswith(str(tmp_path)), sentence


def test_a_record_with_another_report_of_its_data_is_no_finished_run(tmp_path):
    report = dict.fromkeys(("source", "rows", "groups", "max_length", "dropped", "nothing_learned", "left_over",
                            "parts", "fingerprint", "held_out"), 3)  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps({"data": report}))
    assert finished(tmp_path / "run.json", RunConfig()) is None


@pytest.mark.parametrize("case", CASES)
def test_a_damaged_record_of_an_own_run_is_no_finished_run(case, tmp_path):
    put(case, tmp_path / "run.json")
    assert finished(tmp_path / "run.json", RunConfig()) is None


WRONG = [None, [], "text", 3, -1.5, True, {"a": 1}, [[1]], "\x1b[2J", "a\0b"]
"""Values of which at most a few suit any one field."""
FIELDS = {
    "model": ["name", "source", "dtype", "device"],
    "data": ["source", "train_rows", "max_length", "overlong", "split_seed", "file", "template", "learn"],
    "evaluation": ["split", "batch_size", "answers", "metrics", "forgetting", "lm_eval", "lm_eval_limit"],
}


def test_a_wrong_type_in_any_field_of_a_run_is_one_sentence_that_names_it(tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (adapter / name).write_text('{"peft_type": "LORA", "base_model_name_or_path": "a"}')
    record = tmp_path / "run.json"
    faults = 0
    for section, names in FIELDS.items():
        trees = [*WRONG[1:], *({name: value} for name in names for value in WRONG), {"unknown": 1}]
        for tree in trees:
            config = {"data": {"source": "rows.jsonl"}} | {section: tree}
            record.write_text(json.dumps({"config": config}))
            try:
                found = sections_of(adapter, {})
            except QweftError as error:
                check_sentence(str(error), tree)
                assert section in str(error) or "data" in str(error), (tree, str(error))
                faults += 1
                continue
            for part in found:
                kinds = {name: str(kind) for name, kind in vars(type(part))["__annotations__"].items()}
                assert not any(isinstance(getattr(part, name), dict) for name in kinds), tree
    assert faults > 150
    for config in (None, [], "x", 1):
        record.write_text(json.dumps({"config": config}))
        refused(config, model_of, adapter, {})


@pytest.mark.parametrize(
    "record", ['{"config": null}', '{"config": {"model": []}}', '{"config": {"model": {"name": "a\\u0000b"}}}']
)
@pytest.mark.parametrize("command", ["evaluate", "inspect", "chat"])
def test_commands_end_with_one_sentence_and_status_2(command, record, tmp_path, capsys):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "a"}')
    (adapter / "adapter_model.safetensors").touch()
    (tmp_path / "run.json").write_text(record)
    assert main([command, str(adapter), *(["--data.source", "embedded:chitchat"] if command != "chat" else [])]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_config_that_names_a_module_to_import_is_refused(tmp_path):
    config = {"peft_type": "LORA", "megatron_config": {"a": 1}, "megatron_core": "antigravity"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    assert "megatron_config" in refused(config, read_config, tmp_path)


def test_a_start_that_is_drawn_at_each_load_is_refused(tmp_path):
    config = {"peft_type": "LORA", "init_lora_weights": "pissa__niter_4"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    assert "'pissa__niter_4' draws base weights at random" in refused(config, read_config, tmp_path)


def test_a_config_that_names_other_folders_to_read_is_refused(tmp_path):
    config = {"peft_type": "XLORA", "adapters": {"a": "/elsewhere"}, "hidden_size": 8}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    assert "X-LoRA names other folders" in refused(config, read_config, tmp_path)


@pytest.mark.parametrize(
    ("method", "key"), [("SHADOW", "shadow_model"), ("MULTITASK_PROMPT_TUNING", "prompt_tuning_init_state_dict_path")]
)
def test_a_config_that_names_another_model_or_file_to_read_is_refused(tmp_path, method, key):
    config = {"peft_type": method, key: "/elsewhere", "prompt_tuning_init": "ONLY_SOURCE_SHARED"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    assert f"{key} names" in refused(config, read_config, tmp_path)
