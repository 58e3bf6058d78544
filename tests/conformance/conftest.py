"""Collects the cells of the table; `--conformance-table FILE` prints it and writes it there."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qweft.core.files import write_bytes
from tests.conformance.families import FAMILIES
from tests.conformance.features import FEATURES
from tests.conformance.methods import METHODS
from tests.conformance.table import FAILS, NOT_INSTALLED, Cell, render

CELLS: list[Cell] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--conformance-table", metavar="FILE", help="print the table of features and write it to FILE")


@pytest.fixture
def record_cell() -> Callable[[Cell], None]:
    """Take down the outcome of one check."""
    return CELLS.append


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    asked = getattr(getattr(item, "callspec", None), "params", {})
    if report.failed and {"feature", "family", "method"} <= asked.keys():
        CELLS.append(Cell(asked["feature"], asked["family"], asked["method"], FAILS))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if file := config.getoption("--conformance-table"):
        page = render(CELLS, list(FEATURES), list(FAMILIES), METHODS)
        terminalreporter.write(page)
        if any(cell.outcome == FAILS for cell in CELLS):
            terminalreporter.write_line(f"{file} was left as it is: a check failed")
        elif any(NOT_INSTALLED in cell.why for cell in CELLS):
            terminalreporter.write_line(f"{file} was left as it is: some cells could not be tried here")
        else:
            write_bytes(Path(file), page.encode())
