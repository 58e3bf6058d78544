"""What `make dist` builds: whole package data, one version, a README that an index can show. Nothing is installed."""

import re
import tomllib
from pathlib import Path

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
