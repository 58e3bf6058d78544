"""JSON records that are malformed, hostile or damaged: one sentence comes of each, soon, and nothing runs."""

import json
import time

import pytest

from qweft.adapter.loading import read_config
from qweft.comparison.report.write import remake_report
from qweft.comparison.run.trial import read_record as read_run
from qweft.core.errors import QweftError
from qweft.evaluation.record import run_config, sections_of
from qweft.publish.push import plan_push
from qweft.training.config import RunConfig
from qweft.training.run import finished

TEXTS = {
    "nothing": b"",
    "a list": b"[]",
    "half of it": b'{"config": {',
    "deep lists": b"[" * 100_000,
    "NaN": b'{"config": NaN}',
    "an endless integer": b'{"config": ' + b"9" * 5000 + b"}",
    "half a character": b'{"config": "\\ud800"}',
    "bytes that are not UTF-8": b'{"config": "\xff"}',
}


def refused(what, call, *arguments):
    """See that a call ends in one sentence within two seconds; return it."""
    began = time.perf_counter()
    with pytest.raises(QweftError) as error:
        call(*arguments)
    assert time.perf_counter() - began < 2, what
    sentence = str(error.value)
    assert "\n" not in sentence and ";" in sentence and len(sentence) < 2000, what
    return sentence


@pytest.mark.parametrize("case", TEXTS)
def test_every_reader_of_records_refuses_the_case_in_one_sentence(case, tmp_path):
    adapter = tmp_path / "pushed"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").touch()
    readers = {
        "run/run.json": lambda path: run_config(path.parent / "adapter"),
        "cell/run.json": read_run,
        "results.json": remake_report,
        "adapter/adapter_config.json": lambda path: read_config(path.parent),
        "pushed/adapter_config.json": lambda path: plan_push(path.parent, "me/it", base_model="me/base"),
    }
    for name, read in readers.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(TEXTS[case])
        assert refused((name, case), read, tmp_path / name).startswith(str(tmp_path))
    (tmp_path / "run.json").write_bytes(TEXTS[case])
    assert finished(tmp_path / "run.json", RunConfig()) is None


@pytest.mark.parametrize("section", ["model", "data", "evaluation"])
@pytest.mark.parametrize("wrong", [None, [], "text", 3, {"unknown": 1}])
def test_a_wrong_type_of_a_section_of_a_run_is_one_sentence_that_names_it(tmp_path, section, wrong):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (adapter / name).write_text('{"peft_type": "LORA", "base_model_name_or_path": "a"}')
    config = {"data": {"source": "rows.jsonl"}} | {section: wrong}
    (tmp_path / "run.json").write_text(json.dumps({"format": 1, "config": config}))
    message = refused(config, sections_of, adapter, {})
    assert "is not a record of this program" in message and section in message


def test_a_config_that_names_a_module_to_import_is_refused(tmp_path):
    config = {"peft_type": "LORA", "megatron_config": {"a": 1}, "megatron_core": "antigravity"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    assert "megatron_config" in refused(config, read_config, tmp_path)


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
