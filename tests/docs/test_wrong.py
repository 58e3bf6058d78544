"""Each wrong input that docs/errors.md names gives a sentence with the words that stand there."""

import pytest

from tests.docs.wrong import in_a_config, in_a_file, in_python, rows, typed


@pytest.mark.parametrize(("line", "said"), rows("Command lines"))
def test_a_command_line(workplace, line, said):
    assert said in typed(line)


@pytest.mark.parametrize(("line", "said"), rows("Config files"))
def test_a_config_file(workplace, line, said):
    assert said in in_a_config(line, workplace)


@pytest.mark.parametrize(("line", "said"), rows("Rows"))
def test_a_row(workplace, line, said):
    assert said in in_a_file(line, workplace)


@pytest.mark.parametrize(("code", "said"), rows("Python"))
def test_a_call(workplace, code, said):
    assert said in in_python(code, workplace)
