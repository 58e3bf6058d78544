"""What `make dist` builds: whole package data, one version, a README that an index can show. Nothing is installed."""

import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from scripts import dist

import qweft

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
NAMES = dist.tracked()


def test_every_file_of_the_package_is_packed():
    """Python files, and what the patterns of the package's data meet; a file of another kind would be left out."""
    package = ROOT / "src" / "qweft"
    met = {path for pattern in PROJECT["tool"]["setuptools"]["package-data"]["qweft"] for path in package.glob(pattern)}
    files = {ROOT / name for name in NAMES if name.startswith("src/qweft/")}
    assert package / "py.typed" in met
    assert not {str(path) for path in files if path.suffix != ".py"} - {str(path) for path in met}
    for path in files:
        if path.suffix == ".py":
            assert (path.parent / "__init__.py").is_file(), f"{path.parent} is no package, so its files are not packed"


def test_the_version_stands_in_one_place_and_is_cited():
    assert "version" not in PROJECT["project"] and PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "qweft.__version__"}
    assert CITATION["version"] == qweft.__version__
    assert f"## {qweft.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_an_index_shows_a_readme_without_links_into_the_repository():
    readme = dist.without_local_links((ROOT / "README.md").read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)]*)\)", readme) + re.findall(r"""(?:src|srcset|href)=["']([^"']*)""", readme)
    assert all(re.match(r"https?://|mailto:", target) for target in targets)
    assert readme.startswith("# Qweft\n")


@pytest.fixture
def built(tmp_path):
    """A wheel and an sdist with empty files, as they should be; `change` leaves out and adds names in both."""

    def build(wheel_without=(), wheel_with=(), sdist_without=(), sdist_with=()):
        package = [name for name in NAMES if name.startswith("src/qweft/")]
        in_wheel = [*(name.removeprefix("src/") for name in package), "qweft-1.dist-info/licenses/LICENSE"]
        wheel, sdist = tmp_path / "qweft-1.whl", tmp_path / "qweft-1.tar.gz"
        with zipfile.ZipFile(wheel, "w") as archive:
            for name in [*(name for name in in_wheel if name not in wheel_without), *wheel_with]:
                archive.writestr(name, "")
        with tarfile.open(sdist, "w:gz") as archive:
            for name in [*package, *dist.BESIDES, *sdist_with]:
                if name not in sdist_without:
                    archive.addfile(tarfile.TarInfo(f"qweft-1/{name}"))
        return dist.faults(wheel, sdist, NAMES)

    return build


def test_whole_distributions_have_no_faults(built):
    assert built() == []


@pytest.mark.parametrize(("changes", "fault"), [
    ({"wheel_without": ["qweft/py.typed"]}, "qweft-1.whl lacks qweft/py.typed"),
    ({"wheel_with": ["tests/test_a.py"]}, "qweft-1.whl has tests/test_a.py, which is no file of the package"),
    ({"wheel_without": ["qweft-1.dist-info/licenses/LICENSE"]}, "qweft-1.whl lacks LICENSE"),
    ({"sdist_without": ["CITATION.cff"]}, "qweft-1.tar.gz lacks CITATION.cff"),
    ({"sdist_with": ["research/data/demo.json"]}, "qweft-1.tar.gz has research/data/demo.json"),
])  # fmt: skip
def test_a_fault_is_named(built, changes, fault):
    assert built(**changes) == [fault]
