"""`make gpu` without a GPU: what it says, that all of it runs on a CPU with tiny sizes, and its pack."""

import json
import tarfile
from pathlib import Path

import pytest
from benchmarks import gpu, gpu_page
from scripts import pack_gpu

ROOT = Path(gpu.__file__).parents[1]


def test_all_parts_run_on_a_cpu_and_are_told(tmp_path):
    words = ["--device", "cpu", "--tiny", "--budget", "400", "--output", str(tmp_path)]
    assert gpu.main(words) == 0
    results = json.loads((tmp_path / "gpu.json").read_text())
    assert [name for name in gpu.SHARES if "failed" in results[name]] == []
    assert results["tests"]["passed"] == 1
    page = gpu_page.section(results)
    assert "A rehearsal on a CPU" in page and "No card was at hand" not in page
    for heading in ("### Tests", "#### 135M", "#### 7B", "| batch 2 |", "### Circuits"):
        assert heading in page, heading
    assert page.count("| `qtha` |") == 4


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack")
    archive = folder / "pack.tar.gz"
    names = pack_gpu.pack(archive)
    assert archive.stat().st_size < pack_gpu.MOST
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return folder / pack_gpu.FOLDER, names


def test_the_pack_has_the_source_and_packages_for_any_python(unpacked):
    folder, names = unpacked
    for wanted in (
        "Makefile",
        "pyproject.toml",
        "src/qweft/__init__.py",
        "tests/gpu/test_model.py",
        "benchmarks/gpu.py",
    ):
        assert (folder / wanted).is_file(), wanted
    assert not [name for name in names if name.startswith("packed/") and Path(name).suffix in pack_gpu.COMPILED]
    assert (folder / "packed" / "commit").read_text().strip()
