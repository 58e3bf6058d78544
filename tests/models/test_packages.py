"""Files in installed packages."""

import sys

import pytest

from qweft.models.packages import installed_file


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that must not be imported, with a file."""
    folder = tmp_path / "heavy_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    (folder / "weights.bin").write_bytes(b"x")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_an_installed_file_is_found_without_importing_its_package(package):
    assert installed_file("heavy_package", "weights.bin") == package / "weights.bin"
    assert "heavy_package" not in sys.modules


def test_a_file_that_is_not_there_is_none(package):
    assert installed_file("heavy_package", "absent.bin") is None
    assert installed_file("no_such_package", "weights.bin") is None
