"""`make gpu` without a GPU: what it says, that all of it runs on a CPU with tiny sizes, and its pack."""

import json
import tarfile
from pathlib import Path

import pytest
import torch
from benchmarks import gpu, gpu_clock, gpu_models, gpu_page
from scripts import pack_gpu

ROOT = Path(gpu.__file__).parents[1]


def test_without_a_gpu_it_says_in_one_sentence_what_it_would_do(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.count(". ") == 0
    assert all(part in said for part in ("CUDA device", "gpu-pack", "results/gpu.json", "sees none here"))


def test_a_rehearsal_writes_nothing_into_the_repository(capsys):
    with pytest.raises(SystemExit):
        gpu.main(["--device", "cpu", "--tiny"])
    assert "--output" in capsys.readouterr().err


def test_all_parts_run_on_a_cpu_and_are_told(tmp_path):
    words = ["--device", "cpu", "--tiny", "--budget", "400", "--output", str(tmp_path)]
    assert gpu.main(words) == 0
    results = json.loads((tmp_path / "gpu.json").read_text())
    assert [name for name in gpu.SHARES if "failed" in results[name]] == []
    assert results["tests"]["passed"] == 2
    page = gpu_page.section(results)
    assert "A rehearsal on a CPU" in page and "No card was at hand" not in page
    for heading in ("### Tests", "#### 135M", "#### 7B", "| batch 2 |", "### Circuits"):
        assert heading in page, heading
    assert page.count("| `qtha` |") == 4


def seconds(**found):
    return {name: list(map(float, each)) for name, each in found.items()}


def test_a_ratio_is_of_the_same_round():
    """A machine that is slow for one round is slow for both."""
    rows = gpu_clock.against(seconds(lora_of_peft=[1, 10, 2], qtha=[2, 20, 4]), "lora_of_peft")
    assert rows["qtha"]["ratio"] == 2 and rows["qtha"]["quartiles"] == [2, 2] and rows["qtha"]["rounds"] == 3
    assert rows["qtha"]["seconds"] == 4


def test_a_part_that_fails_or_has_no_time_stops_no_other(monkeypatch):
    program = gpu.Program(torch.device("cpu"), tiny=True)
    given, now = {}, [100.0]
    monkeypatch.setattr(gpu.time, "monotonic", lambda: now[0])

    def part(name, takes):
        def run(until):
            given[name] = until - now[0]
            now[0] += takes
            if name == "tests":
                raise ValueError("broken")
            return {}

        return run

    program.parts = {name: part(name, {"generation": 1000}.get(name, 0)) for name in gpu.SHARES}
    kept = []
    results = program.run(240, lambda what: None, lambda found: kept.append(dict(found)))
    assert [found["generation"].get("failed") for found in kept][:4] == ["it was not begun"] * 4
    assert "failed" not in kept[4]["generation"]
    assert results["tests"]["failed"] == "ValueError: broken"
    assert results["step 7B"]["failed"] == "no time was left" and "failed" not in results["generation"]
    # what one part leaves, the later ones share
    assert given["kernels"] == pytest.approx(30) and given["circuit"] == pytest.approx(34.2857, abs=1e-3)


def test_layers_are_left_out_where_memory_is_short():
    shape = gpu_models.SHAPES["7B"]
    assert gpu_models.layers_that_fit(shape, 80 * 2**30) == 28
    assert 1 < gpu_models.layers_that_fit(shape, 24 * 2**30) < 28
    assert gpu_models.layers_that_fit(shape, 2**30) == 1


def test_shapes_are_those_of_the_models():
    with torch.device("meta"):
        for name, parameters in (("135M", 134_515_008), ("7B", 7_615_616_512)):
            shape = gpu_models.SHAPES[name]
            config = gpu_models.AutoConfig.for_model(shape.kind, **shape.sizes)
            model = gpu_models.AutoModelForCausalLM.from_config(config)
            assert sum(p.numel() for p in model.parameters()) == parameters
            layer = sum(
                p.numel() for name, p in model.model.layers[0].named_parameters() if name.endswith("proj.weight")
            )
            assert 2 * layer == shape.layer_bytes()


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


def test_interrupted_tests_count_as_far_as_they_came(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="a.b" name="one"/>'
        '<testcase classname="a.b" name="two"><failure message="x"/></testcase>'
        '<testcase classname="a.b" name="three"><skipped message="no card"/></testcase></testsuite></testsuites>'
    )
    assert gpu.outcome_of(report) == {"passed": 1, "failed_tests": ["b::two"], "left_out": {"no card": 1}}
