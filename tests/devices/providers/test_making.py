"""What is said before anything runs: packages and devices that are missing, credentials that must not be shown."""

import sys
from urllib.parse import quote

import pytest

from qweft.cli.main import main
from qweft.core.errors import QweftError
from qweft.core.redaction import without_secrets
from qweft.devices import DeviceError, make_device
from qweft.devices.device import one_line


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("pennylane:default.qubit", "pennylane"),
        ("qiskit:aer", "qiskit_aer"),
        ("qiskit:fake_manila", "qiskit_ibm_runtime.fake_provider"),
        ("qiskit:ibm_torino", "qiskit_ibm_runtime"),
        ("origin:cpu", "pyqpanda3.core"),
        ("origin:WK_C180", "pyqpanda3.qcloud"),
    ],
)
def test_a_missing_package_is_told_with_the_way_to_install_it(monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(QweftError, match=rf"pip install '\.\[{name.partition(':')[0]}\]'"):
        make_device(name)


def test_a_device_that_pennylane_does_not_have():
    pytest.importorskip("pennylane")
    with pytest.raises(DeviceError, match="plugin is installed"):
        make_device("pennylane:ionq.simulator").check(10)


def test_a_plugins_words_are_told_without_its_credentials(monkeypatch):
    pennylane = pytest.importorskip("pennylane")
    monkeypatch.setenv("IONQ_API_KEY", "hush-hush-1234")

    def fail(*_, **__):
        raise ConnectionError("could not reach the cloud\nas hush-hush-1234")

    monkeypatch.setattr(pennylane, "device", fail)
    device = make_device("pennylane:reference.qubit")
    with pytest.raises(DeviceError) as caught:
        device.check(10)
    assert str(caught.value) == "device pennylane:reference.qubit: could not reach the cloud as [credential removed]"
    assert caught.value.__suppress_context__


def test_credentials_are_taken_out(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "abcdef-123456")
    monkeypatch.setenv("OTHER_KEY", "abcdef-123456-longer")
    monkeypatch.setenv("SHORT_KEY", "the")  # would be found in every sentence
    text = "the key abcdef-123456-longer, the token abcdef-123456, and qwerty-77 of the store"
    assert without_secrets(text, ["qwerty-77"]) == (
        "the key [credential removed], the token [credential removed], and [credential removed] of the store"
    )
    assert one_line(ValueError()) == "ValueError"


def test_every_error_of_a_command_is_filtered(monkeypatch, capsys):
    secret = "Hush~Hush/1234+5"
    monkeypatch.setenv("MY_PW", secret)
    assert main(["plan", f"--adapter.{quote(secret, safe='')}", "1"]) == 2
    assert main([secret]) == 2
    err = capsys.readouterr().err
    assert err.count("[credential removed]") == 2 and secret not in err
