"""`qweft push` against a hub on this machine: what is sent, and to whom it is shown."""

import errno
import json
import os
import subprocess
import sys
import time

import pytest
from peft import LoraConfig, get_peft_model

from qweft import QweftError, QwthnConfig
from qweft.cli.main import main
from qweft.publish.push import _name_base_model, plan_push, push, renamed
from tests.publish.fake_hub import FakeHub
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


@pytest.fixture
def hub():
    hub = FakeHub()
    yield hub
    hub.close()


def qweft(hub, *words):
    """The command in a process of its own, where the hub is the one of this machine."""
    environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_test"}
    return subprocess.run(
        [sys.executable, "-m", "qweft", *map(str, words)], env=environment, capture_output=True, text=True, timeout=600
    )


def test_a_push_is_private_and_holds_the_adapter_alone(adapter, hub):
    done = qweft(hub, "push", adapter, "--repository", "me/mine", "--base-model", "owner/base")
    assert done.returncode == 0, done.stderr
    assert hub.repositories == {"me/mine": True}
    assert set(hub.files) == {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    assert hub.files["adapter_model.safetensors"] == (adapter / "adapter_model.safetensors").read_bytes()
    assert json.loads(hub.files["adapter_config.json"])["base_model_name_or_path"] == "owner/base"
    card = hub.files["README.md"].decode()
    assert "base_model: owner/base" in card and "import qweft" in card
    assert str(adapter.parent) not in card
    assert "base_model:adapter:owner/base" in card
    assert len(hub.commits) == 1
    said = " ".join(done.stdout.split())
    assert "to me/mine (private)" in said and "pushed: " in said


@pytest.mark.parametrize("name", ["README.md", "export.json", "adapter_model.safetensors", "adapter_config.json"])
def test_a_link_to_a_file_elsewhere_is_not_sent(adapter, tmp_path, name):
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    (adapter / name).unlink(missing_ok=True)
    (adapter / name).symlink_to(secret)
    with pytest.raises(QweftError, match=f"{name} is a link to {secret}, .* put a copy in its place"):
        plan_push(adapter, "me/mine", base_model="owner/base")


def test_public_only_where_it_is_said(adapter, hub):
    words = ["push", adapter, "--repository", "me/mine", "--base-model", "owner/base"]
    assert qweft(hub, *words, "--public").returncode == 0
    assert hub.repositories == {"me/mine": False}
    done = qweft(hub, *words)  # it is public now, and private was asked for
    assert done.returncode == 2
    assert "me/mine exists and is public" in done.stderr.splitlines()[-1]
    assert len(hub.commits) == 1


def test_a_refusal_of_the_hub_is_one_sentence(adapter, hub):
    hub.refuses = True
    done = qweft(hub, "push", adapter, "--repository", "me/mine", "--base-model", "owner/base")
    assert done.returncode == 2
    assert "the hub refused to take me/mine" in done.stderr.splitlines()[-1]


def test_a_full_folder_for_temporary_files_is_not_the_hub_s_fault(adapter, hub, monkeypatch):
    def full(source, target, *rest, **options):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
    monkeypatch.setattr("qweft.publish.push._stage", full)
    with pytest.raises(QweftError, match=r"cannot be copied \(No space left on device: .*set TMPDIR"):
        push(plan_push(adapter, "me/mine", base_model="owner/base"), token="hf_test")


@pytest.mark.parametrize("change", ["link", "weights"])
def test_what_changes_after_the_plan_is_not_sent(adapter, hub, monkeypatch, tmp_path, change):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
    wanted = plan_push(adapter, "me/mine", base_model="owner/base")
    (tmp_path / "secret").write_text("private")
    (adapter / "adapter_model.safetensors").unlink()
    if change == "link":
        (adapter / "adapter_model.safetensors").symlink_to(tmp_path / "secret")
    else:
        (adapter / "adapter_model.safetensors").write_text("others")
    with pytest.raises(QweftError, match=r"became a link meanwhile|was replaced by another command meanwhile"):
        push(wanted, token="hf_test")
    assert not hub.files and not hub.repositories


def test_a_dry_run_sends_nothing(adapter, capsys):
    words = ["--repository", "me/mine", "--base-model", "owner/base", "--dry-run"]
    assert main(["push", str(adapter), *words]) == 0
    assert "me/mine (private), base model owner/base" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--repository: expected OWNER/NAME"),
        (["--repository", "a/b/c"], "repository 'a/b/c' is no hub id"),
        (["--repository", "me/mine"], "which nobody else can load; give the base model's hub id with --base-model"),
        (["--repository", "me/mine", "--base-model", "a b"], "base_model 'a b' is no hub id"),
        (["--repository", "me/mine", "--base-model", "o/b"], "HF_HUB_OFFLINE is set, so nothing is sent"),
        (["--repositry", "me/mine"], "did you mean --repository?"),
    ],
)
def test_wrong_input_is_one_sentence(adapter, capsys, words, sentence):
    assert main(["push", str(adapter), *words]) == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_a_folder_without_adapter_is_refused(tmp_path, capsys):
    assert main(["push", str(tmp_path), "--repository", "me/mine"]) == 2
    assert "no adapter_config.json in it" in capsys.readouterr().err
    with pytest.raises(QweftError, match=r"no adapter_config\.json"):
        plan_push(tmp_path, "me/mine")


def test_without_a_connection_it_says_so(adapter, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    with pytest.raises(QweftError, match="the hub cannot be reached"):
        push(plan_push(adapter, "me/mine", base_model="owner/base"), token="hf_test")


@pytest.mark.parametrize(
    ("config", "said", "private"),
    [
        (QwthnConfig.preset("qtha", r=2, width=8, bond_dimension=2), {}, True),
        (QwthnConfig.preset("qtha", r=2, width=8, bond_dimension=2), {"private": False}, False),
        (LoraConfig(target_modules=["q_proj"]), {}, None),
    ],
)
def test_pefts_own_call_is_private_too(monkeypatch, tmp_path, config, said, private):
    """Whoever says nothing gets a private repository; other methods keep PEFT's default."""
    asked = []

    class Asked(Exception):  # noqa: N818
        pass

    def create_repo(*args, **kwargs):
        asked.append(kwargs.get("private"))
        raise Asked

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", create_repo)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Asked):
        get_peft_model(tiny_llama(), config).push_to_hub("me/mine", **said)
    assert asked == [private]


def test_transformers_calls_are_private_too(monkeypatch, tmp_path):
    asked = []

    def create_repo(*args, **kwargs):
        asked.append(kwargs.get("private"))
        raise InterruptedError

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", create_repo)
    monkeypatch.chdir(tmp_path)
    model = tiny_llama()
    for call in (model.push_to_hub, lambda name: model.save_pretrained("x", push_to_hub=True, repo_id=name)):
        with pytest.raises(InterruptedError):
            call("me/mine")
    assert asked == [None, None]
    model.add_adapter(QwthnConfig.preset("qtha", r=2, width=8, bond_dimension=2))
    for call in (model.push_to_hub, lambda name: model.save_pretrained("x", push_to_hub=True, repo_id=name)):
        with pytest.raises(InterruptedError):
            call("me/mine")
    assert asked[2:] == [True, True]


@pytest.mark.parametrize("named", [5, ["a"], {}])
def test_a_base_model_that_is_no_text_is_refused_before_anything_is_sent(adapter, named):
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": named}))
    with pytest.raises(QweftError, match="base_model_name_or_path is no text"):
        plan_push(adapter, "me/mine", base_model="owner/base")


@pytest.mark.parametrize(
    "front",
    [
        "m: &m {type: a, value: 1}\nr: &r {task: {type: t}, dataset: {type: d, name: n}, metrics: ["
        + "*m, " * 300 + "]}\nmodel-index: [{name: x, results: [" + "*r, " * 300 + "]}]",
        "".join(f"k{number}: v\n" for number in range(50_000)),
    ],
    ids=["aliases", "long"],
)  # fmt: skip
def test_a_card_s_front_matter_is_read_in_bounded_time(front):
    began = time.process_time()
    card = _name_base_model(f"---\n{front}\n---\n# Mine\n", "owner/base")
    assert time.process_time() - began < 5 and card.endswith("# Mine\n") and len(card) < 10 * len(front)


@pytest.mark.parametrize(
    ("card", "named", "expected"),
    [
        (
            "---\nbase_model: model\ntags:\n- base_model:adapter:model\nmodel-index: []\n---\n"
            "This model is a remodelled model",
            "model",
            "---\nbase_model: me/base\ntags:\n- base_model:adapter:me/base\nmodel-index: []\n---\n"
            "This model is a remodelled model",
        ),
        (
            "# lora for my\\_model\nTrained with qweft from my\\_model.\nBase model: my\\_model. Rank 4\nmy\\_model",
            "my_model",
            "# lora for me/base\nTrained with qweft from me/base.\nBase model: me/base. Rank 4\nmy\\_model",
        ),
        ("[gpt2](https://x/openai-community/gpt2)", "gpt2", "[gpt2](https://x/openai-community/gpt2)"),
        ("by /home/me/base, and file:///home/me/base.", "/home/me/base", "by me/base, and file://me/base."),
    ],
)
def test_the_base_model_is_named_in_its_places_alone(card, named, expected):
    assert renamed(card, named, "me/base") == expected


def test_a_card_keeps_its_front_matter():
    assert _name_base_model("# Mine\n", "owner/base") == "---\nbase_model: owner/base\n---\n# Mine\n"
    card = _name_base_model("---\nbase_model: /home/me\ntags: [a, b]\n---\n\n# Mine\n---\n", "owner/base")
    assert card == "---\nbase_model: owner/base\ntags:\n- a\n- b\n---\n\n# Mine\n---\n"
    for odd in ("---\n[1]\n---\n# Mine\n", "---\na: [\n---\n# Mine\n"):
        assert _name_base_model(odd, "owner/base") == odd
