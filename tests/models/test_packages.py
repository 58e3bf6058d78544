import sys

from qweft.models.packages import installed_file


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
