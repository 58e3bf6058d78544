"""The pictures of pages in README and docs, light and dark, through Chromium (`make browser`).

python -m scripts.page_pictures report runs/claim            the first screen of a report
python -m scripts.page_pictures chat runs/chat/adapter       two questions on the page of `qweft ui`
"""

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright
from scripts.picture import FOLDER, THEMES

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE: Any = {"width": 1000, "height": 990}
"""The first screen, in pixels."""
COLOURS = 256
"""A page of text and lines needs no more, and is a third as large with them."""
QUESTIONS = ("hi, how are you?", "what do you do for fun?")


def take(name: str, address: str, act: Callable[[Any], None] = lambda page: None) -> None:
    """Take a picture of a page in each theme, after what is done on it."""
    path = os.environ.get("QWEFT_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        theme: Any
        for theme in THEMES:
            page = browser.new_page(viewport=SIZE, device_scale_factor=1.5, color_scheme=theme)
            page.goto(address)
            act(page)
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            file = FOLDER / f"{name}-{theme}.png"
            picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(file, optimize=True)
            print(file)
            page.close()
        browser.close()


def ask(page: Any) -> None:
    """Ask the questions one after another."""
    for question in QUESTIONS:
        page.fill("#line", question)
        page.press("#line", "Enter")
        page.wait_for_selector("#send:not([hidden])", timeout=120_000)


def main(words: list[str]) -> int:
    """Take both pictures of one page."""
    if len(words) != 2 or words[0] not in ("report", "chat"):
        print(__doc__)
        return 2
    if words[0] == "report":
        take("report", (Path(words[1]) / "report.html").resolve().as_uri())
        return 0
    command = [
        sys.executable,
        "-m",
        "qweft",
        "ui",
        words[1],
        "--beside",
        "base",
        "--port",
        "0",
        "--max-new-tokens",
        "32",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
        take("chat", address, ask)
        server.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
