"""One browser for all tests of this folder, and the pages that they look at."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qweft.comparison.report.write import write_report
from tests.browser.browser import NAMES, executable
from tests.comparison.report.report_examples import ADAPTERS, many_adapters, results


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need the browser; it and its pages are made once, so they stay in one process."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A running browser; where there is none the tests are left out, unless $QWEFT_BROWSER says that there is one."""
    path = executable()
    reason = f"no browser found ({', '.join(NAMES)} or $QWEFT_BROWSER); make browser says how to get one"
    if path is None:
        pytest.fail(reason) if os.environ.get("QWEFT_BROWSER") else pytest.skip(reason)
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    with sync_playwright() as driver:
        # Root may not use the browser's own sandbox
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = driver.chromium.launch(executable_path=path, args=arguments)
        yield running
        running.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports by name: with all that there can be, with 16 methods, and of one seed."""
    folder = tmp_path_factory.mktemp("pages")
    some = {name: ADAPTERS[name] for name in ("lora", "lora_small", "qtha", "qwthn", "mpo", "mlp_linear")}
    write_report(results(some, diverged=("qwthn",)), folder / "full")
    write_report(results(many_adapters(16), inspected=False), folder / "many")
    write_report(results({"lora": ADAPTERS["lora"]}, seeds=1, inspected=False), folder / "one")
    return {name: folder / name / "report.html" for name in ("full", "many", "one")}
