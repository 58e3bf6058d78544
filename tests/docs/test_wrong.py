"""Each wrong input that docs/errors.md names gives the sentence that stands there."""

import pytest

from tests.docs.wrong import in_a_config, in_a_file, in_a_folder, in_python, rows, typed


def check(found, said):
    """The page may leave out the end of a sentence, and then shows three points."""
    assert found == said or (said.endswith(" ...") and found.startswith(said.removesuffix("..."))), found


@pytest.mark.parametrize(("line", "said"), rows("Command lines"))
def test_a_command_line(workplace, line, said):
    check(typed(line), said)


@pytest.mark.parametrize(("line", "said"), rows("Config files"))
def test_a_config_file(workplace, line, said):
    check(in_a_config(line, workplace), said)


@pytest.mark.parametrize(("line", "said"), rows("Rows"))
def test_a_row(workplace, line, said):
    check(in_a_file(line, workplace), said)


@pytest.mark.parametrize(("change", "said"), rows("Adapters"))
def test_an_adapter(workplace, change, said):
    check(in_a_folder(change, workplace), said)


@pytest.mark.parametrize(("code", "said"), rows("Python"))
def test_a_call(workplace, code, said):
    check(in_python(code, workplace).splitlines()[0], said)


def test_every_table_is_read():
    assert all(len(rows(section)) >= 5 for section in ("Command lines", "Config files", "Rows", "Adapters", "Python"))
