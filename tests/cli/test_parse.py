import pytest

from qweft.cli.command import Command
from qweft.cli.option_reader import OptionReader
from qweft.cli.parser import dump_yaml, parse, take_apart
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.core.errors import QweftError
from qweft.training.config import RunConfig


def test_options_win_over_the_file(run_file):
    config = parse(RunConfig, [run_file, "--training.batch_size", "3", "--output=runs/a=b", "--training.epochs", "2"])
    assert (config.training.batch_size, config.output, config.training.epochs) == (3, "runs/a=b", 2.0)
    assert config.training.learning_rate == 5e-4


@pytest.mark.parametrize("text", ["5e-4", "5E-4", "0.0005", "5.0e-04", "+5e-4", ".5e-3"])
def test_numbers_are_read_alike_in_file_and_option(write, text):
    file = write(f"training: {{learning_rate: {text}}}\nadapter: {{alpha: {text}}}")
    for argv in ([file], ["--training.learning_rate", text, "--adapter.alpha", text]):
        config = parse(RunConfig, argv)
        assert config.training.learning_rate == 5e-4
        assert config.adapter["alpha"] == 5e-4
        assert isinstance(config.adapter["alpha"], float)


def test_none_is_typed_as_the_help_writes_it(comparison_file, write):
    argv = ["--training.max_steps", "none", "--model.quantization", "none", "--data.template", "none"]
    config = parse(RunConfig, argv)
    assert (config.training.max_steps, config.model.quantization, config.data.template) == (None, None, "none")
    assert parse(ComparisonConfig, [comparison_file, "--rates", "none"]).rates is None
    with pytest.raises(QweftError, match=r'training\.batch_size: should be a valid integer, got "none"'):
        parse(RunConfig, ["--training.batch_size", "none"])
    with pytest.raises(QweftError, match='should be a valid integer, got "none"'):
        parse(RunConfig, [write("training: {max_steps: none}")])


@pytest.mark.parametrize(("text", "seeds"), [("3,5", [3, 5]), ("3", [3]), ("3, 5, 7", [3, 5, 7])])
def test_a_list_may_be_typed_with_commas_alone(comparison_file, text, seeds):
    assert parse(ComparisonConfig, [comparison_file, "--seeds", text]).seeds == seeds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("null", None),
        ("[q_proj, v_proj]", ["q_proj", "v_proj"]),
        (r"'.*\.[qv]_proj'", r".*\.[qv]_proj"),
        ("{a: 1e-2}", {"a": 0.01}),
    ],
)
def test_values_of_the_adapter_are_yaml(text, value):
    got = parse(RunConfig, ["--adapter.x", text]).adapter["x"]
    assert got == value
    assert type(got) is type(value)


def test_naming_a_peft_type_drops_the_preset_and_back(run_file):
    assert parse(RunConfig, ["--adapter.peft_type", "LORA"]).adapter == {"peft_type": "LORA"}
    adapter = parse(RunConfig, [run_file, "--adapter.peft_type", "LORA"]).adapter
    assert adapter == {"r": 6, "alpha": 10.0, "peft_type": "LORA"}
    assert parse(RunConfig, [run_file, "--adapter.preset", "qtha"]).adapter["preset"] == "qtha"


@pytest.mark.parametrize(
    ("first", "second"),
    [("--data.source a.csv", "--data.sources b.csv,c.csv"), ("--adapter.preset qtha", "--adapter.peft-type LORA")],
)
def test_two_options_that_exclude_each_other_are_refused(first, second):
    """The last one would win without a word, and a run would be of other data than was asked for."""
    for words in ([first, second], [second, first]):
        with pytest.raises(QweftError, match=r"exclude each other; leave one of them out"):
            parse(RunConfig, " ".join(words).split())


def test_options_override_single_keys_of_one_method(comparison_file):
    options = ["--methods.qtha.learning_rate", "2e-2", "--methods.qtha.adapter.r", "4"]
    methods = parse(ComparisonConfig, [comparison_file, *options]).methods
    assert methods["qtha"] == MethodConfig({"preset": "qtha", "r": 4}, 0.02, "lora")
    assert methods["lora"] == MethodConfig({"peft_type": "LORA", "r": 8})


def test_names_of_fields_may_be_typed_with_hyphens(comparison_file):
    config = parse(RunConfig, ["--training.learning-rate", "1e-3", "--training.max-steps=7", "--adapter.a-b", "1"])
    assert (config.training.learning_rate, config.training.max_steps) == (1e-3, 7)
    assert config.adapter == {"preset": "qtha", "a-b": 1}
    config = parse(ComparisonConfig, [comparison_file, "--methods.qtha.learning-rate", "3e-2"])
    assert config.methods["qtha"].learning_rate == 3e-2


def test_hyphens_in_names_that_the_user_chose_stay(write):
    file = write("methods:\n  a-b: {adapter: {preset: qtha}}\n  a_b: {adapter: {preset: qwthn}}")
    options = ["--methods.a-b.adapter.r", "4", "--methods.a-b.learning-rate", "2e-2", "--methods.c-d", "{adapter: {}}"]
    methods = parse(ComparisonConfig, [file, *options]).methods
    assert methods == {
        "a-b": MethodConfig({"preset": "qtha", "r": 4}, 0.02),
        "a_b": MethodConfig({"preset": "qwthn"}),
        "c-d": MethodConfig({}),
    }


def test_an_empty_section_or_file_means_the_defaults(write):
    assert parse(RunConfig, [write("training:\n  # batch_size: 3\n")]) == RunConfig()
    assert parse(RunConfig, [write("# nothing\n")]) == RunConfig()


def test_dump_yaml_reads_back_the_same(comparison_file, write):
    options = ["--methods.qtha.adapter.odd", "'5e-4'", "--methods.qtha.adapter.list", "[a, 1e-7, null, 'null', é]"]
    for config_class, argv in (
        (RunConfig, ["--adapter.x", "{a: [1, 1e30]}"]),
        (ComparisonConfig, [comparison_file, *options]),
    ):
        config = parse(config_class, argv)
        text = dump_yaml(config)
        assert parse(config_class, [write(text, "dumped.yaml")]) == config
        assert dump_yaml(parse(config_class, ["dumped.yaml"])) == text


@pytest.mark.parametrize("word", ["--dry-run", "--dry_run"])
@pytest.mark.parametrize("name", ["dry-run", "dry_run"])
def test_flags_are_the_same_with_hyphens_and_underscores(word, name):
    assert take_apart([word, "x"], Command("x", flags={name: ""})).flags == {name}


@pytest.mark.parametrize(
    "text",
    ["# {query}", "~", "[{query}]", "a: b"],
)
def test_a_text_stays_as_it_is(text):
    """Read as YAML, a template of lines that begin with # is a comment: the model's own template was taken instead."""
    reader = OptionReader(RunConfig)
    assert reader.typed(str | None, text, "data.template") == text
    assert reader.check(str, text, "output") == text


@pytest.mark.parametrize(("text", "value"), [("q_proj,v_proj", ["q_proj", "v_proj"]), (".*q_proj", ".*q_proj")])
def test_a_list_of_words_in_the_adapter_needs_no_brackets(text, value):
    assert parse(RunConfig, ["--adapter.target_modules", text]).adapter["target_modules"] == value


def test_a_tilde_in_what_is_written_is_the_home_folder(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.chdir(tmp_path)
    for argv in ([write("output: ~/runs/mine\n")], ["--output=~/runs/mine"]):
        assert parse(RunConfig, argv).output == "/home/someone/runs/mine"
    assert parse(RunConfig, ["--output", "runs/~mine"]).output == "runs/~mine"
