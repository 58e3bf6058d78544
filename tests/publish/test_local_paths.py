"""Paths of this machine are not published: in cards, and in what a push sends."""

import json

import pytest

from qweft.cli.parser import parse
from qweft.errors import QweftError
from qweft.publish.card import public_name
from qweft.publish.push import _staged, plan_push
from qweft.training.config import RunConfig
from qweft.training.run import train
from tests.publish.test_push import adapter  # noqa: F401
from tests.tiny_folder import save_rows, save_tiny_model


def test_a_card_of_several_sources_names_their_files_alone(tmp_path):
    save_tiny_model(tmp_path / "model")
    (tmp_path / "secret + home").mkdir()
    places = [save_rows(tmp_path / "secret + home" / name) for name in ("a.jsonl", "b.jsonl")]
    words = ["--model.name", str(tmp_path / "model"), "--data.sources", ",".join(places)]
    words += ["--data.validation_rows", "4", "--data.test_rows", "8", "--training.max_steps", "1"]
    words += ["--adapter.r", "2", "--adapter.width", "8", "--output", str(tmp_path / "run"), "--model.device", "cpu"]
    card = (train(parse(RunConfig, words)).adapter_folder / "README.md").read_text()
    assert "a.jsonl + b.jsonl: " in card
    assert str(tmp_path) not in card and "secret" not in card


def test_names_of_a_card_hold_no_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jsonl").write_text("")
    assert public_name("here/x.jsonl + there/x.jsonl") == "x.jsonl + x.jsonl"
    assert public_name(f"{tmp_path}/gone/a.jsonl + owner/rows@train") == "a.jsonl + owner/rows@train"
    assert public_name("/gone/a.jsonl") == "a.jsonl" and public_name("../gone/a.jsonl") == "a.jsonl"
    assert public_name("owner/rows") == "owner/rows" and public_name("embedded:chitchat") == "embedded:chitchat"
    (tmp_path / "a + b.jsonl").write_text("")
    assert public_name("a + b.jsonl") == "a + b.jsonl"


def changed(adapter, **fields):  # noqa: F811
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_the_tokenizer_of_prompt_tuning_is_named_as_the_base_model(adapter, tmp_path):  # noqa: F811
    changed(adapter, tokenizer_name_or_path=str(tmp_path), prompt_tuning_init_text="/translate this")
    with _staged(plan_push(adapter, "me/mine", base_model="owner/base")) as folder:
        sent = json.loads((folder / "adapter_config.json").read_text())
    assert sent["tokenizer_name_or_path"] == sent["base_model_name_or_path"] == "owner/base"
    assert str(tmp_path) not in json.dumps(sent)
    changed(adapter, tokenizer_name_or_path="owner/tokenizer")
    with _staged(plan_push(adapter, "me/mine", base_model="owner/base")) as folder:
        assert json.loads((folder / "adapter_config.json").read_text())["tokenizer_name_or_path"] == "owner/tokenizer"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"tokenizer_name_or_path": "/home/me/tokenizer"}, "tokenizer_name_or_path"),
        ({"corda_config": {"cache_file": "~/cache.pt"}}, "corda_config.cache_file"),
        ({"modules": [["../x"]]}, "modules"),
        ({"revision": "adapter/README.md"}, "revision"),
    ],
)
def test_other_paths_are_refused_before_anything_is_sent(adapter, tmp_path, monkeypatch, fields, name):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    plan = plan_push(adapter, "me/mine", base_model="owner/base")
    changed(adapter, **fields)
    with pytest.raises(QweftError, match=rf"{name} names '.*', a path of this machine that would be sent"):
        plan_push(adapter, "me/mine", base_model="owner/base")
    with pytest.raises(QweftError, match="a path of this machine"), _staged(plan):
        pass


def test_patterns_of_names_are_no_paths(adapter):  # noqa: F811
    changed(adapter, target_modules=r".*\.(q|v)_proj", exclude_modules=["lm_head", r"^model/layers\.\d+"])
    plan_push(adapter, "me/mine", base_model="owner/base")
