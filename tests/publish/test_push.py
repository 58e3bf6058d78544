"""`qweft push` against a hub on this machine: what is sent, and to whom it is shown."""

import json
import re
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import yaml
from huggingface_hub.errors import HfHubHTTPError
from peft import get_peft_model

from qweft import QweftError, QwthnConfig
from qweft.cli.main import main
from qweft.publish.card import public_name
from qweft.publish.push import plan_push, renamed
from tests.tiny_models import tiny_llama


@pytest.fixture
def adapter(tmp_path):
    """An adapter as PEFT saves it, with a file beside it that is nobody's business."""
    model = get_peft_model(tiny_llama(), QwthnConfig.preset("qtha", r=2, width=8, bond_dimension=2))
    model.peft_config["default"].base_model_name_or_path = str(tmp_path)
    model.base_model.model.name_or_path = model.base_model.name_or_path = str(tmp_path)
    model.save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter/optimizer.pt").write_bytes(b"private")
    return tmp_path / "adapter"


class Hub:
    """Stands in for the hub's client: it keeps what it is sent."""

    def __init__(self):
        self.repositories, self.files, self.commits = {}, {}, []
        self.refusal = None

    def create_repo(self, name, private, exist_ok):
        if self.refusal:
            raise self.refusal
        self.repositories.setdefault(name, private)
        return SimpleNamespace(repo_id=name)

    def model_info(self, name):
        return SimpleNamespace(private=self.repositories[name])

    def create_commit(self, name, operations, commit_message):
        self.commits.append(commit_message)
        for each in operations:
            with each.as_file() as file:
                self.files[each.path_in_repo] = file.read()


@pytest.fixture
def hub(monkeypatch):
    hub = Hub()
    monkeypatch.setattr("qweft.publish.push.HfApi", lambda: hub)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return hub


WORDS = ("--repository", "me/mine", "--base-model", "owner/base")


def test_a_push_is_private_and_holds_the_adapter_alone(adapter, hub, capsys):
    assert main(["push", str(adapter), *WORDS]) == 0
    assert hub.repositories == {"me/mine": True}
    assert set(hub.files) == {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    assert hub.files["adapter_model.safetensors"] == (adapter / "adapter_model.safetensors").read_bytes()
    assert json.loads(hub.files["adapter_config.json"])["base_model_name_or_path"] == "owner/base"
    card = hub.files["README.md"].decode()
    assert "base_model: owner/base" in card and "import qweft" in card
    assert str(adapter.parent) not in card
    assert len(hub.commits) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "to me/mine (private)" in said and "pushed: " in said


@pytest.mark.parametrize("name", ["README.md", "adapter_config.json"])
def test_a_link_to_a_file_elsewhere_is_not_sent(adapter, tmp_path, name):
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    (adapter / name).unlink(missing_ok=True)
    (adapter / name).symlink_to(secret)
    with pytest.raises(QweftError, match=f"{name} is a link"):
        plan_push(adapter, "me/mine", base_model="owner/base")


def test_public_only_where_it_is_said(adapter, hub, capsys):
    assert main(["push", str(adapter), *WORDS, "--public"]) == 0
    assert hub.repositories == {"me/mine": False}
    assert main(["push", str(adapter), *WORDS]) == 2  # it is public now, and private was asked for
    assert "me/mine exists and is public" in capsys.readouterr().err
    assert len(hub.commits) == 1


def test_a_refusal_of_the_hub_is_one_sentence(adapter, hub, capsys):
    hub.refusal = HfHubHTTPError("you may not", response=MagicMock())
    assert main(["push", str(adapter), *WORDS]) == 2
    assert "the hub did not take me/mine (you may not)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "repository '' is no hub id, as OWNER/NAME"),
        (["--repository", "a/b/c"], "repository 'a/b/c' is no hub id"),
        (["--repository", "me/mine"], "which nobody else can load; give the base model's hub id with --base-model"),
        (["--repository", "me/mine", "--base-model", "a b"], "base_model 'a b' is no hub id"),
        (["--repository", "me/mine", "--base-model", "o/b"], "HF_HUB_OFFLINE is set, so nothing is sent"),
    ],
)
def test_wrong_input_is_one_sentence(adapter, capsys, words, sentence):
    assert main(["push", str(adapter), *words]) == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("card", "named", "front", "text"),
    [
        (
            "---\nbase_model: model\nlicense: mit\n---\nThis model is mine",
            "model",
            {"license": "mit"},
            "This model is mine",
        ),
        ("by /home/me/base, and file:///home/me/base.", "/home/me/base", {}, "by me/base, and file://me/base."),
        ("# Mine\n---\n", "/home/me", {}, "# Mine\n---\n"),
    ],
)
def test_a_card_names_the_base_model_and_keeps_the_rest(card, named, front, text):
    _, found, rest = renamed(card, named, "me/base").split("---\n", 2)
    assert yaml.safe_load(found) == {"base_model": "me/base", **front}
    assert rest == text


@pytest.mark.parametrize("odd", ["---\n[1]\n---\n# Mine\n", "---\na: [\n---\n# Mine\n"])
def test_a_malformed_card_stays(odd):
    assert renamed(odd, "", "owner/base") == odd


def changed(adapter, **fields):
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_the_tokenizer_of_prompt_tuning_is_named_as_the_base_model(adapter, tmp_path):
    changed(adapter, tokenizer_name_or_path=str(tmp_path), prompt_tuning_init_text="/translate this")
    sent = json.loads(plan_push(adapter, "me/mine", base_model="owner/base").contents["adapter_config.json"])
    assert sent["tokenizer_name_or_path"] == sent["base_model_name_or_path"] == "owner/base"
    assert str(tmp_path) not in json.dumps(sent)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"tokenizer_name_or_path": "/home/me/tokenizer"}, "/home/me/tokenizer"),
        ({"corda_config": {"cache_file": "~/cache.pt"}}, "~/cache.pt"),
        ({"modules": [["../x"]]}, "../x"),
    ],
)
def test_other_paths_are_refused_before_anything_is_sent(adapter, fields, path):
    changed(adapter, **fields)
    with pytest.raises(QweftError, match=f"names {re.escape(path)}, a path"):
        plan_push(adapter, "me/mine", base_model="owner/base")


def test_patterns_of_names_are_no_paths(adapter):
    changed(adapter, target_modules=r".*\.(q|v)_proj", exclude_modules=["lm_head", r"^model/layers\.\d+"])
    plan_push(adapter, "me/mine", base_model="owner/base")


def test_names_of_a_card_hold_no_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jsonl").write_text("")
    assert public_name("here/x.jsonl + there/x.jsonl") == "x.jsonl + x.jsonl"
    assert public_name(f"{tmp_path}/gone/a.jsonl + owner/rows@train") == "a.jsonl + owner/rows@train"
    assert public_name("../gone/a.jsonl") == "a.jsonl" and public_name("embedded:chitchat") == "embedded:chitchat"
