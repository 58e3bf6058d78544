import errno
import os
import subprocess
import sys

import pytest

from qweft import QweftError
from qweft.cli import init
from qweft.cli.main import main

RUN_FILE_ERRORS = [
    ("training: {learning_rat: 1}", "unknown key training.learning_rat; did you mean training.learning_rate?"),
    ("trainin: {learning_rate: 1}", "unknown key trainin; did you mean training?"),
    ("batch_size: 3", "unknown key batch_size; did you mean training.batch_size?"),
    ("model: {zzz: 3}", "unknown key model.zzz; known here: name, source, dtype, device, quantization"),
    ("training: {batch_size: four}", 'training.batch_size: expected int, got "four"'),
    (
        "training: {learning_rate: 1" + "0" * 400 + "}",
        "training.learning_rate: expected float, got 1" + "0" * 56 + "...",
    ),
    ("training: {batch_size: 4.5}", "training.batch_size: expected int, got 4.5"),
    ("training: {batch_size: true}", "training.batch_size: expected int, got true"),
    ("training: {batch_size: null}", "training.batch_size: expected int, got null"),
    ("training: {max_steps: [1]}", "training.max_steps: expected int or null, got [1]"),
    ("training: {gradient_checkpointing: 1}", "training.gradient_checkpointing: expected true or false, got 1"),
    ("data: {overlong: cu}", 'data.overlong: expected one of cut, drop, got "cu"'),
    ("output: 3", "output: expected text, got 3"),
    ("output:", "output: expected text, got null"),
    ("training: 3", "training: expected a mapping of keys to values, got 3"),
    ("adapter: qtha", 'adapter: expected a mapping of keys to values, got "qtha"'),
    ("adapter:", "adapter: expected a mapping of keys to values, got null"),
]

COMPARISON_FILE_ERRORS = [
    ("seeds: [0]", "missing required section methods (a mapping of keys to values)"),
    ("methods: {a: {}}", "missing required key methods.a.adapter (a mapping of keys to values)"),
    ("methods: [a]", 'methods: expected a mapping of keys to values, got ["a"]'),
    (
        "methods: {a: {adapter: {}, learning_rat: 1}}",
        "unknown key methods.a.learning_rat; did you mean methods.a.learning_rate?",
    ),
    ("methods: {a: {adapter: {}, learning_rate: x}}", 'methods.a.learning_rate: expected float or null, got "x"'),
    ("methods: {a: {adapter: {}}}\nrates: [a]", 'rates: expected list of float or null, got ["a"]'),
    ("methods: {a: {adapter: {}}}\nseeds: 3", "seeds: expected list of int, got 3"),
]

OPTION_ERRORS = [
    (
        ["--training.learning_rat", "1"],
        "unknown option --training.learning_rat; did you mean --training.learning_rate?",
    ),
    (["--learning_rate", "1"], "unknown option --learning_rate; did you mean --training.learning_rate?"),
    (
        ["--training.learning-rat", "1"],
        "unknown option --training.learning-rat; did you mean --training.learning_rate?",
    ),
    (["--learning-rate", "1"], "unknown option --learning-rate; did you mean --training.learning_rate?"),
    (["--training.batch-size", "four"], '--training.batch-size: expected int, got "four"'),
    (["--training.batch-size"], "--training.batch-size: expected a value after it"),
    (["--training.seed.x", "1"], "unknown option --training.seed.x; did you mean --training.seed?"),
    (["--dryrun"], "unknown option --dryrun; did you mean --dry-run?"),
    (
        ["--zzz", "1"],
        "unknown option --zzz; known here: model, data, adapter, training, evaluation, checkpoints, validation, "
        "output, resume, report-to",
    ),
    (["--training.batch_size", "four"], '--training.batch_size: expected int, got "four"'),
    (["--training.batch_size", "null"], '--training.batch_size: expected int, got "null"'),
    (["--training.batch_size="], '--training.batch_size: expected int, got ""'),
    (["--training.batch_size"], "--training.batch_size: expected a value after it"),
    (["--training.batch_size", "--output", "a"], "--training.batch_size: expected a value after it"),
    (["--training", "3"], "--training: expected a mapping of keys to values, got 3"),
    (["--training", "{sed: 3}"], "unknown option --training.sed; did you mean --training.seed?"),
    (["-x"], "unknown option -x; options begin with two dashes and a name"),
    (
        ["run.yaml", "other.yaml"],
        "unexpected argument 'other.yaml' after 'run.yaml'; leave it out, or put a value that has a space in quotes",
    ),
]


def sentence(capsys, argv):
    """Run a command that must fail, and return its one sentence."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    prefix = "qweft: error: "
    assert err.startswith(prefix)
    return err.removeprefix(prefix).rstrip("\n")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--max_circuts", "1"], "unknown option --max_circuts; did you mean --max-circuits?"),
        (["--max-circuts", "1"], "unknown option --max-circuts; did you mean --max-circuits?"),
        (["--max_circuits", "x"], '--max-circuits: expected int or null, got "x"'),
        (["--max-circuits"], "--max-circuits: expected a value after it"),
        (["--data.max-lenght", "1"], "unknown option --data.max-lenght; did you mean --data.max_length?"),
    ],
)
def test_errors_spell_options_as_the_help_does(capsys, tmp_path, options, expected):
    assert sentence(capsys, ["evaluate", str(tmp_path), *options]).startswith(expected)


def test_options_that_are_known_are_listed_as_the_help_spells_them(capsys, tmp_path):
    got = sentence(capsys, ["evaluate", str(tmp_path), "--zzz", "1"])
    assert ", max-circuits, " in got and "max_circuits" not in got
    assert ", max_length" in sentence(capsys, ["evaluate", str(tmp_path), "--data.zzz", "1"])


@pytest.mark.parametrize(("text", "expected"), RUN_FILE_ERRORS)
def test_run_file(capsys, write, text, expected):
    assert sentence(capsys, ["train", write(text)]) == f"x.yaml: {expected}"


@pytest.mark.parametrize(("text", "expected"), COMPARISON_FILE_ERRORS)
def test_comparison_file(capsys, write, text, expected):
    assert sentence(capsys, ["compare", write(text)]) == f"x.yaml: {expected}"


@pytest.mark.parametrize(("options", "expected"), OPTION_ERRORS)
def test_option(capsys, run_file, options, expected):
    assert sentence(capsys, ["train", *options]) == expected


def test_option_of_a_method_that_is_not_there(capsys, comparison_file):
    got = sentence(capsys, ["tune", comparison_file, "--methods.qtah.adapter.r", "4"])
    assert got == "unknown option --methods.qtah; did you mean --methods.qtha?"


@pytest.mark.parametrize("option", [["--budget", "20min"], ["--halving.finalists", "2"], ["--most-seeds", "6"]])
def test_tune_refuses_what_is_for_compare_alone(capsys, comparison_file, option):
    got = sentence(capsys, ["tune", comparison_file, *option])
    assert got == f"qweft tune makes no runs that are compared, so {option[0]} has no effect; leave it out"


def test_adapter_option_that_is_not_yaml(capsys):
    got = sentence(capsys, ["plan", "--adapter.target_modules", "[a"])
    assert got.startswith("--adapter.target_modules: not valid YAML: expected ',' or ']'")


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1\nb: 2", "x.yaml, line 2: not valid YAML: "),
        ("training:\n\tseed: 1", "x.yaml, line 2: not valid YAML: found character '\\t'"),
        ("output: a\nseed: 1\noutput: b", "x.yaml, line 3: duplicate key output"),
        ("training:\n  seed: 1\n  seed: 1", "x.yaml, line 3: duplicate key seed"),
        ("adapter: {r: 1, r: 2}", "x.yaml, line 1: duplicate key r"),
        ("adapter: {<<: {r: 1, r: 2}}", "x.yaml, line 1: duplicate key r"),
        ("adapter: {true: 1, yes: 2}", "x.yaml, line 1: duplicate key yes"),
        ("adapter: {1: a, 1.0: b}", "x.yaml, line 1: duplicate key 1.0"),
        ("adapter: {<<: {r: 1}, <<: {r: 2}}", "x.yaml, line 1: duplicate key <<"),
        ("training:\n  max_steps: 0100", "x.yaml, line 2: not valid YAML: 0100 would be a number of base 8; write it"),
        ("training:\n  max_steps: 1:40", "x.yaml, line 2: not valid YAML: 1:40 would be a number of base 60; write it"),
        ("- a", "x.yaml: expected a mapping of sections, got list"),
        ("just words", "x.yaml: expected a mapping of sections, got str"),
        ("output: a\0b", "x.yaml: not valid YAML: "),
        ("a: 1\n---\nb: 2", "x.yaml, line 2: not valid YAML: "),
        ("a: " + "[" * 100_000, "x.yaml, line 1: not valid YAML: nested more than 64 levels deep"),
        ("a: &a {b: *a}", "x.yaml, line 1: not valid YAML: an alias within what it stands for"),
        (LAUGHS, "x.yaml, line 6: not valid YAML: more than 100,000 values"),
        ("a: " + "9" * 5000, "x.yaml: not valid YAML: Exceeds the limit"),
        ("a: !!timestamp b", "x.yaml: not valid YAML: "),
        ("#" * 2**20 + "\n", "x.yaml: cannot be read: larger than 1,048,576 bytes"),
    ],
    ids=lambda text: text[:50],
)
def test_file_that_is_not_yaml(capsys, write, text, expected):
    assert sentence(capsys, ["train", write(text)]).startswith(expected)


def test_file_that_cannot_be_read(capsys, write, tmp_path):
    assert sentence(capsys, ["train", "none.yaml"]) == "none.yaml: no such file"
    way = f"got a folder; give the data as --data.source {tmp_path}"
    assert (
        sentence(capsys, ["train", str(tmp_path)]) == f"{tmp_path}: qweft train takes a config file (YAML) there, {way}"
    )
    os.mkfifo(tmp_path / "pipe.yaml")
    for place in ("/dev/zero", f"{tmp_path}/pipe.yaml"):
        told = f"{place}: cannot be read: a pipe, a socket or a device, and no regular file"
        assert sentence(capsys, ["train", place]) == told
    (tmp_path / "latin.yaml").write_bytes(b"output: \xe9")
    write("")
    assert sentence(capsys, ["train", "latin.yaml"]) == "latin.yaml: not UTF-8 text (byte 8)"
    (tmp_path / "run.json").write_text("{}")
    assert main(["train", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith("the folder of a run or an adapter; give the config file itself\n")


@pytest.mark.parametrize(
    ("command", "target", "example"), [("compare", "CONFIG|DATA", "my.csv"), ("tune", "CONFIG", "configs/demo.yaml")]
)
def test_missing_config(capsys, command, target, example):
    got = sentence(capsys, [command])
    assert got.startswith(f"qweft {command}: {target} is missing; for example: qweft {command} {example}")


def test_evaluate_needs_a_folder(capsys):
    assert sentence(capsys, ["evaluate"]).startswith("qweft evaluate: ADAPTER is missing; for example: ")
    assert sentence(capsys, ["evaluate", "none"]).startswith("none: no such folder")


def test_inspect_needs_a_folder_and_options_that_it_has(capsys, tmp_path):
    assert sentence(capsys, ["inspect"]).startswith("qweft inspect: ADAPTER is missing; for example: ")
    assert sentence(capsys, ["inspect", "none"]).startswith("none: no such folder; qweft inspect takes the folder")
    assert sentence(capsys, ["inspect", str(tmp_path), "--token", "1"]).endswith("did you mean --tokens?")
    assert "validation" in sentence(capsys, ["inspect", str(tmp_path), "--split", "train"])


def test_evaluate_takes_only_the_sections_that_may_differ(capsys, tmp_path):
    got = sentence(capsys, ["evaluate", str(tmp_path), "--training.seed", "1"])
    assert got.startswith("unknown option --training; known here: device, shots,")
    assert got.endswith("model, data, evaluation")


@pytest.mark.parametrize("words", [["report"], ["circuit"], ["evaluate"], ["inspect"], ["report", "made", "--beside"]])
def test_a_name_that_is_too_long(capsys, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "results.json").write_text('{"runs": []}')
    assert main([*words, "x" * 300]) == 2
    assert "x... cannot be looked for (File name too long); give another name" in capsys.readouterr().err


def test_a_full_disk_is_told(capsys, monkeypatch):
    def full(words):
        raise OSError(errno.ENOSPC, "No space left on device", "runs/a/results.json")

    monkeypatch.setattr("qweft.cli.presets.run", full)
    assert main(["presets"]) == 2
    said = capsys.readouterr().err
    assert (
        "runs/a/results.json' cannot be written (No space left on device); make room, and give the same command again"
        in said
    )


def test_unknown_command(capsys):
    assert sentence(capsys, ["trian"]) == "unknown command trian; did you mean train?"
    assert sentence(capsys, ["zzz"]) == "unknown command zzz; see qweft --help"


def test_the_process_exits_with_status_2_and_no_traceback():
    command = [sys.executable, "-m", "qweft", "plan", "--training.batch_size", "four"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == 'qweft: error: --training.batch_size: expected int, got "four"\n'


@pytest.mark.parametrize(
    ("command", "text", "words"),
    [
        (
            "train",
            "seeds: [0]\nmethods: {}",
            "methods stands in a config of qweft compare, and qweft train takes another",
        ),
        ("plan", "space: {}\nadapter: {}", "space stands in a config of qweft sweep, and qweft plan takes another one"),
        (
            "compare",
            "adapter: {}\nspace: {}",
            "space stands in a config of qweft sweep, and qweft compare takes another",
        ),
        (
            "tune",
            "output: x\nadapter: {}",
            "adapter stands in a config of qweft train, and qweft tune takes another one",
        ),
    ],
)
def test_the_config_of_another_command_is_told_by_its_keys(tmp_path, monkeypatch, capsys, command, text, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(text)
    assert f"run.yaml: {words}" in sentence(capsys, [command, "run.yaml"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.jsonl", "{}"),
        ("rows.json", '\n[{"instruction": "a", "output": "b"}]'),
        ("rows.json", "\ufeff[\n]"),
        ("rows.txt", "Paragraph 0: a text."),
        ("rows.MD", "# A text"),
    ],
)
def test_rows_in_the_place_of_a_config(tmp_path, monkeypatch, capsys, name, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text, encoding="utf-8")
    said = f"{name}: qweft train takes a config file (YAML) there; give the data as --data.source {name}"
    assert said in sentence(capsys, ["train", name])


def test_a_mapping_in_json_is_a_config(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.json").write_text('{"training": {"batch_size": 0}}')
    assert sentence(capsys, ["train", "run.json"]) == "training.batch_size must be at least 1, got 0"


def test_a_run_s_folder_in_the_place_of_its_adapter(tmp_path, capsys):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    for words in (["chat", str(tmp_path)], ["push", str(tmp_path), "--repository", "me/mine"]):
        assert f"no adapter_config.json in it; did you mean {tmp_path / 'adapter'}?" in sentence(capsys, words)


def test_an_output_without_a_name(capsys):
    assert "--output: the name is empty" in sentence(capsys, ["train", "--output", "", "--dry-run"])


def test_a_file_in_the_place_of_a_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("{}")
    words = ["train", "--model.name", "rows.jsonl", "--data.source", "rows.jsonl"]
    assert "model rows.jsonl: it is a file; give the folder" in sentence(capsys, words)


def test_the_base_model_of_a_run_has_no_default_in_the_help(capsys):
    for command, shows in (("chat", False), ("serve", False), ("train", True)):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert ("(default: smollm2-135m-instruct)" in " ".join(capsys.readouterr().out.split())) is shows


def test_no_half_of_a_config_stays_on_a_full_disk(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(QweftError, match=r"mine\.yaml cannot be written"):
            init._write(tmp_path / "mine.yaml", "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
