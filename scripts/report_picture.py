"""The pictures of a report in README: `python -m scripts.report_picture runs/claim` takes them, light and dark.

It needs Chromium (`make browser`), and Pillow, which matplotlib brings.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from scripts.picture import FOLDER, THEMES

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1000, 990
"""The first screen, in pixels."""
COLOURS = 256
"""A page of text and lines needs no more, and is a third as large with them."""


def take(report: Path, theme: str, browser: str) -> Path:
    """Take a picture of the first screen of a report, and return its file."""
    file = FOLDER / f"report-{theme}.png"
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        scheme = ["--blink-settings=preferredColorScheme=0"] if theme == "dark" else []
        subprocess.run(
            [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *scheme,
             f"--window-size={WIDTH},{HEIGHT}", "--force-device-scale-factor=1.5",
             f"--screenshot={shot}", report.resolve().as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        Image.open(shot).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(file, optimize=True)
    return file


def main(words: list[str]) -> int:
    """Take both pictures of the report in a folder."""
    browser = os.environ.get("QWEFT_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if len(words) != 1 or browser is None:
        print("give the folder of a comparison; Chromium is needed (make browser)")
        return 2
    for theme in THEMES:
        print(take(Path(words[0]) / "report.html", theme, browser))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
