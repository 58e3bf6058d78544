"""A stranger's folder as the current one: nothing in it is run, loaded or obeyed."""

import ctypes.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from qweft import current_folder, environment
from qweft.circuit import crz_ring_ansatz
from qweft.circuit.picture import circuit_picture
from qweft.comparison.executors.on_ray import OnRay
from qweft.devices.providers.qiskit.ibm import IBMDevice
from qweft.errors import QweftError, require
from qweft.models.packages import download_wheels
from tests.tiny_folder import save_rows, save_tiny_model

RUNS = "import os, pathlib\npathlib.Path(os.environ['RAN']).write_text(__name__)\n"
"""A module that tells that it was imported."""
MODULES = ("torch", "yaml", "typing", "pip", "qweft", "numba", "multiprocessing", "__main__")


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """The current folder, with modules that would tell that they ran."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    for name in MODULES:
        (folder / f"{name}.py").write_text(RUNS)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    return folder


def ran(stranger):
    return (stranger.parent / "ran").exists()


def test_a_process_of_its_own_imports_nothing_from_the_folder(stranger, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    command = current_folder.module_command("qweft.cli.main", "--version")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "qweft" in done.stdout and not ran(stranger), done.stderr
    subprocess.run([sys.executable, "-m", "qweft", "--version"], capture_output=True, check=False)
    assert ran(stranger), "the fixture works: this is what `python -m` does"


def test_workers_of_a_comparison_import_nothing_from_the_folder(stranger, tmp_path):
    save_tiny_model(tmp_path / "model")
    save_rows(tmp_path / "rows.jsonl")
    config = {
        "model": {"name": str(tmp_path / "model"), "dtype": "float32", "device": "cpu"},
        "data": {"source": str(tmp_path / "rows.jsonl"), "validation_rows": 0, "test_rows": 8, "max_length": 32},
        "training": {"max_steps": 1, "batch_size": 2, "gradient_accumulation": 1},
        "evaluation": {"answers": 0},
        "methods": {"a": {"adapter": {"preset": "mpo", "target_modules": ["q_proj"]}}},
        "reference": "a",
        "seeds": [0, 1],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    words = ["compare", str(tmp_path / "config.yaml"), "--workers", "2", "--output", str(tmp_path / "out")]
    done = subprocess.run(
        current_folder.module_command("qweft.cli.main", *words), capture_output=True, text=True, check=False
    )
    log = (tmp_path / "out" / "worker-2.log").read_text()
    assert done.returncode == 0 and "ended with status" not in done.stderr, done.stderr + log
    assert not ran(stranger) and len(json.loads((tmp_path / "out" / "results.json").read_text())["runs"]) == 3


def test_a_download_runs_no_pip_of_the_folder(stranger, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(QweftError, match="pip could not download no-such-package"):
        download_wheels(["no-such-package"], tmp_path / "wheels")
    assert not ran(stranger)


def test_numba_takes_no_settings_from_the_folder(stranger):
    """They name a folder with pickles that it loads."""
    (stranger / ".numba_config.yaml").write_text("cache_dir: .assets\n")
    code = "from qweft.current_folder import load_numba; load_numba()"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "the current folder has a .numba_config.yaml" in done.stderr
    code = (
        "import os, numba; from qweft.current_folder import load_numba; load_numba()\n"
        f"os.chdir({str(stranger)!r}); numba.core.config.reload_config(); print(repr(numba.config.CACHE_DIR))"
    )
    home = stranger.parent
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=home, check=False)
    assert done.stdout.strip() == "''" and not ran(stranger), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="pyqpanda3's library is looked for there")
def test_origins_libraries_are_the_systems(stranger):
    if ctypes.util.find_library("atomic") is None:
        pytest.skip("this system has no libatomic")
    pytest.importorskip("pyqpanda3")
    (stranger / "libatomic.so.1").write_text("no library")
    code = (
        "from qweft.current_folder import load_origins_libraries as load; load(); print(open('/proc/self/maps').read())"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    places = {Path(line.split()[-1]) for line in done.stdout.splitlines() if "libatomic.so" in line}
    assert places and not any(place.is_relative_to(stranger) for place in places), done.stderr
    with pytest.raises(QweftError, match=r"needs the library libqweft-none\.so\.1, which this system lacks"):
        current_folder.load_origins_libraries(["libqweft-none.so.1"])


def test_git_runs_nothing_of_a_stranger(stranger, monkeypatch):
    """Qweft in an environment below a folder whose settings of git name a program."""
    subprocess.run(["git", "init", "-q", "."], check=True)
    hook = stranger / "hook.sh"
    hook.write_text("#!/bin/sh\necho ran > $RAN\n")
    hook.chmod(0o755)
    subprocess.run(["git", "config", "core.fsmonitor", str(hook)], check=True)
    for place in (".venv/lib/python3/site-packages/qweft", "src/qweft"):
        (stranger / place).mkdir(parents=True)
        (stranger / place / "environment.py").write_text("")
        monkeypatch.setattr(environment, "__file__", str(stranger / place / "environment.py"))
        assert environment.source_commit() is None
    assert not ran(stranger)
    subprocess.run(["git", "status"], capture_output=True, check=True)
    assert ran(stranger), "the fixture works: this is what git does by itself"


def test_figures_are_drawn_by_the_default_style(stranger):
    (stranger / "matplotlibrc").write_text("text.usetex: True\npath.sketch: 5, 50, 5\nfont.size: 40\n")
    drawn = stranger.parent / "drawn.png"
    code = (
        "from pathlib import Path; from qweft.circuit import crz_ring_ansatz\n"
        "from qweft.circuit.picture import circuit_picture\n"
        f"Path({str(drawn)!r}).write_bytes(circuit_picture(crz_ring_ansatz(2, 1), 'png'))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert drawn.read_bytes() == circuit_picture(crz_ring_ansatz(2, 1), "png")


@pytest.mark.parametrize("kind", ["pipe", "bytes"])
def test_settings_of_matplotlib_in_the_folder_are_not_read(stranger, kind):
    if kind == "pipe":
        os.mkfifo(stranger / "matplotlibrc")
    else:
        (stranger / "matplotlibrc").write_bytes(b"\xff\xfe\x00")
    code = (
        "from qweft.cli.main import main; assert main(['--version']) == 0\n"
        "import matplotlib; print(matplotlib.matplotlib_fname.__name__)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 and "matplotlib_fname" in done.stdout, done.stderr


def test_a_package_that_does_not_load_is_one_sentence(stranger, monkeypatch):
    (stranger / "broken_settings.py").write_text("raise ValueError('line 1: no TOML')")
    monkeypatch.syspath_prepend(str(stranger))
    with pytest.raises(QweftError, match=r"which does not load \(ValueError: line 1: no TOML\)"):
        require("broken_settings", "x", "device a")


def test_pennylane_takes_no_settings_from_the_folder(stranger):
    pytest.importorskip("pennylane")
    (stranger / "config.toml").write_text("[main]\ndebug = true\n")
    code = (
        "from qweft.devices import make_device; from tests.devices.providers.forms import circuits\n"
        "print(make_device('pennylane:default.qubit').run(circuits(1), None).values.sum())"
    )
    root = str(Path(__file__).parents[1])
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.append({root!r}); {code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert float(done.stdout) == pytest.approx(1), done.stderr


def test_ray_starts_in_an_empty_folder(stranger, monkeypatch):
    """Its processes import from the folder that it was started in, before everything else."""
    monkeypatch.setenv("QWEFT_CACHE", str(stranger.parent / "cache"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    started = []
    executor = OnRay.__new__(OnRay)
    executor.ray = SimpleNamespace(init=lambda **options: started.append((Path.cwd(), options["num_cpus"])))
    executor._connect(3)
    ((folder, cores),) = started
    assert folder != stranger and list(folder.iterdir()) == [] and cores >= 3 and Path.cwd() == stranger


def test_children_of_a_command_run_nothing_of_the_folder(stranger, monkeypatch):
    for name in current_folder.FOR_CHILDREN:
        monkeypatch.delenv(name, raising=False)
    with current_folder.children_apart():
        subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=True)
        assert not ran(stranger)
    assert not set(current_folder.FOR_CHILDREN) & set(os.environ)
    for report in ("WANDB_DISABLE_GIT", "COMET_AUTO_LOG_GIT_METADATA", "COMET_AUTO_LOG_GIT_PATCH"):
        assert report in current_folder.FOR_CHILDREN
    monkeypatch.setenv("WANDB_DISABLE_GIT", "false")
    with current_folder.children_apart():
        assert os.environ["WANDB_DISABLE_GIT"] == "false"
    assert os.environ["WANDB_DISABLE_GIT"] == "false"


def test_pennylane_has_no_options_from_the_folder(stranger):
    pytest.importorskip("pennylane")
    (stranger / "config.toml").write_text('[main]\nshots = 7\n["default.qubit"]\nshots = 3\n')
    parent = str(Path(current_folder.__file__).parents[1])
    code = (
        f"import sys; sys.path.append({parent!r}); from qweft.current_folder import load_pennylane; load_pennylane()\n"
        "import pennylane; print(pennylane.default_config['main'])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert "7" not in done.stdout


def test_ibms_package_has_no_addresses_from_the_folder(stranger, monkeypatch):
    utils = pytest.importorskip("ibm_cloud_sdk_core.utils")
    monkeypatch.delenv("IBM_CREDENTIALS_FILE", raising=False)
    monkeypatch.setenv("HOME", str(stranger.parent))
    (stranger / "ibm-credentials.env").write_text("GLOBAL_SEARCH_URL=http://stranger.example\n")
    assert utils.read_external_sources("global_search") == {"URL": "http://stranger.example"}
    device = IBMDevice.__new__(IBMDevice)
    read = lambda: utils.read_external_sources("global_search")  # noqa: E731
    device._runtime = SimpleNamespace(QiskitRuntimeService=read)
    monkeypatch.setenv("IBM_CREDENTIALS_FILE", "x")  # so that it is taken back after the test
    monkeypatch.delenv("IBM_CREDENTIALS_FILE")
    assert device._service == {}
    (stranger.parent / "ibm-credentials.env").write_text("GLOBAL_SEARCH_URL=http://own.example\n")
    assert read() == {"URL": "http://own.example"}
