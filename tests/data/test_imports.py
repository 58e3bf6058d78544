"""What lists data, or finds no file, does not wait for PyTorch."""

import subprocess
import sys

import pytest

HEAVY = ["torch", "transformers", "peft", "datasets", "numpy"]


def imported(code):
    code = f"import sys\n{code}\nprint([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    return ran.stderr.strip().splitlines()


def test_reading_data_imports_nothing_heavy():
    assert imported("import qweft.data.read, qweft.data.embedded, qweft.cli.data, qweft.models.packages") == ["[]"]


@pytest.mark.parametrize(
    ("argv", "said"), [(["list"], []), (["list", "--json"], []), (["check", "no/such.jsonl"], ["no such file"])]
)
def test_a_list_and_a_mistyped_path_import_nothing_heavy(argv, said):
    *before, last = imported(f"from qweft.cli.main import main\nmain(['data', *{argv!r}])")
    assert last == "[]"
    assert all(any(each in line for line in before) for each in said)
