"""What is said before anything runs: packages and devices that are missing, credentials that must not be shown."""

import base64
import json
import sys
import time
import urllib.parse

import pytest

from qweft.cli.main import main
from qweft.devices import DeviceError, DeviceSettings, make_device
from qweft.devices.error_policy import one_line
from qweft.redaction import names_credential, without_secrets


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("pennylane:default.qubit", "pennylane", "pennylane"),
        ("qiskit:aer", "qiskit_aer", "qiskit"),
        ("qiskit:fake_manila", "qiskit_ibm_runtime.fake_provider", "qiskit"),
        ("qiskit:ibm_torino", "qiskit_ibm_runtime", "qiskit"),
        ("origin:cpu", "pyqpanda3.core", "origin"),
        ("origin:WK_C180", "pyqpanda3.qcloud", "origin"),
    ],
)
def test_a_missing_package_is_told_with_the_way_to_install_it(monkeypatch, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    package = module.partition(".")[0]
    with pytest.raises(
        DeviceError, match=rf"^device {name} needs the package {package}; pip install 'qweft\[{extra}\]'"
    ):
        make_device(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pennylane:default.qubt", "knows no device default.qubt; there are default.qubit"),
        ("pennylane:ionq.simulator", "pip install pennylane-ionq brings it"),
        ("pennylane:braket.aws.qubit", "pip install amazon-braket-pennylane-plugin brings it"),
    ],
)
def test_a_device_that_pennylane_does_not_have(name, words):
    pytest.importorskip("pennylane")
    with pytest.raises(DeviceError, match=words):
        make_device(name)


def test_a_noise_model_for_a_simulator_of_pure_states():
    pytest.importorskip("pennylane")
    with pytest.raises(DeviceError, match=r"takes no noise model, got paper; use pennylane:default\.mixed"):
        make_device("pennylane:default.qubit", DeviceSettings(noise="paper"))


@pytest.mark.parametrize("name", ["exact", "shots", "rehearsal:shots"])
@pytest.mark.parametrize("noise", ["paper", "nonsense"])
def test_a_noise_model_for_a_device_without_noise(name, noise):
    words = f"device {name.removeprefix('rehearsal:')} takes no noise model, got {noise}; use noisy"
    with pytest.raises(DeviceError, match=words):
        make_device(name, DeviceSettings(noise=noise))


@pytest.mark.parametrize("shots", [0, -3])
def test_shots_below_one(shots):
    pytest.importorskip("pennylane")
    for name in ("pennylane:default.qubit", "pennylane:reference.qubit"):
        with pytest.raises(DeviceError, match=rf"{name} takes a number of shots of at least 1.*got {shots}"):
            make_device(name).check(shots)


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


@pytest.mark.parametrize("name", ["SOME_PASS", "SOME_CREDENTIALS", "SOME_AUTH", "SOME_PASSWORD", "some_secret"])
def test_names_of_credentials(monkeypatch, name):
    monkeypatch.setenv(name, "abcdef-123456")
    assert without_secrets("login abcdef-123456 failed") == "login [credential removed] failed"


def test_ibms_store(monkeypatch):
    runtime = pytest.importorskip("qiskit_ibm_runtime")
    accounts = {"default": {"token": "abcdef-123456"}, "odd": {}}
    monkeypatch.setattr(runtime.QiskitRuntimeService, "saved_accounts", lambda: accounts)
    assert without_secrets("token of abcdef-123456") == "token of [credential removed]"
    monkeypatch.setattr(runtime.QiskitRuntimeService, "saved_accounts", lambda: 1 / 0)
    assert without_secrets("abcdef-123456") == "abcdef-123456"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer {}",
        "{{'Authorization': 'apikey {}'}}",
        'header "Authorization": "oqcs_auth={}"',
        "ApiKey {} is not valid",
        "https://example.org/?api_key={}&x=1",
        "token={}",
        "bad token '{}'",
    ],
)
@pytest.mark.parametrize("secret", ["hush-HUSH_0123456789abcdef", "0123456789abcdef0123456789abcdef"])
def test_what_looks_like_a_credential(text, secret):
    told = without_secrets(text.format(secret))
    assert told == text.format("[credential removed]")


def test_a_signed_token():
    assert (
        without_secrets("sent eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl twice")
        == "sent [credential removed] twice"
    )


@pytest.mark.parametrize(
    "text",
    [
        "job token qweft-0123456789abcdef was refused",
        "the token authentication_service_failed",
        "no api key was given at https://example.org/docs/2026",
        "password: none",
        "models/tokenizer_config-20261126.json: no such file",
        "methods.sk-small: unknown",
        "basic gates are 0123456789 in number",
    ],
)
def test_other_words_stay(text):
    assert without_secrets(text) == text


SECRET = "Hush~Hush/1234+5"


@pytest.mark.parametrize("name", ["MY_PW", "DB_PWD", "GITHUB_PAT", "some-creds", "MY_KEY"])
def test_short_words_of_names(monkeypatch, name):
    monkeypatch.setenv(name, SECRET)
    assert names_credential(name) and without_secrets(f"login {SECRET} failed") == "login [credential removed] failed"


@pytest.mark.parametrize("name", ["PWD", "OLDPWD", "PATH", "PATTERN", "SPAWN", "HOME"])
def test_other_names_are_no_credentials(name):
    assert not names_credential(name)


def _base64(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "form",
    [
        SECRET, SECRET.swapcase(), SECRET.upper(), SECRET.lower(), SECRET.encode().hex(), SECRET.encode().hex().upper(),
        _base64(SECRET), _base64(SECRET).rstrip("="), base64.urlsafe_b64encode(SECRET.encode()).decode(),
        urllib.parse.quote(SECRET, safe=""), urllib.parse.quote_plus(SECRET), json.dumps(SECRET),
        *(_base64(f"{user}:{SECRET}") for user in ("a", "ab", "abc")),
        *(_base64(f"{user}:{SECRET}@host/{user}") for user in ("a", "ab", "abc")),
    ],
)  # fmt: skip
def test_other_forms_of_a_credential_are_taken_out(monkeypatch, form):
    monkeypatch.setenv("MY_PW", SECRET)
    told = without_secrets(f"login as {form} failed")
    assert "[credential removed]" in told and told.startswith("login as ") and told.endswith(" failed")
    assert len(told) <= len("login as [credential removed] failed") + 24  # what stood around it in base64


@pytest.mark.parametrize(
    "token", ["hf_abcdefghijABCDEFGHIJ0123456789abcd", "ghp_0123456789abcdefABCDEF", "sk-proj-0123456789abcdefABCDEF"]
)
def test_tokens_that_are_in_no_variable(token):
    assert without_secrets(f"Invalid user {token}.") == "Invalid user [credential removed]."


def test_a_folder_in_a_variable_is_no_credential(monkeypatch, tmp_path):
    monkeypatch.setenv("KEYS_FOLDER", str(tmp_path))
    assert without_secrets(f"{tmp_path}/a.yaml: no such file") == f"{tmp_path}/a.yaml: no such file"


def test_every_error_of_a_command_is_filtered(monkeypatch, capsys):
    monkeypatch.setenv("MY_PW", SECRET)
    assert main(["plan", f"--adapter.{SECRET.encode().hex()}", "1"]) == 2
    assert main([SECRET]) == 2
    err = capsys.readouterr().err
    assert err.count("[credential removed]") == 2 and SECRET not in err


@pytest.mark.parametrize("text", ["token=" * 50_000, "token" + " " * 300_000, "-eyJ" * 75_000, "token=w" * 50_000])
def test_a_long_text_of_a_stranger_is_searched_in_bounded_time(text):
    began = time.process_time()
    without_secrets(text)
    assert time.process_time() - began < 20  # minutes, where the time grows with the square of the length


@pytest.mark.parametrize(
    "text",
    [
        "token:" + " " * 12 + "abcdef0123456789abcd",
        "token:\n" + " " * 12 + "abcdef0123456789abcd",
        '"token":' + " " * 13 + '"abcdef0123456789abcd"',
        "sent eyJ" + "a" * 3000 + ".eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl",
    ],
)
def test_credentials_among_spaces_and_of_any_length_are_removed(text):
    found = without_secrets(text)
    assert "[credential removed]" in found and "abcdef" not in found and "aaaa" not in found
