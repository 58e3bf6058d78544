"""The report in a real browser: on a phone and a wide screen, in light, dark and print, for every colour vision."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from tests.browser.browser import CONTRASTS, FIGURES, HEADINGS, OVERFLOWING

SEEN = [("full", 360), ("full", 1440), ("many", 360), ("many", 1440), ("one", 768)]
FIGURES_OF = {"full": 14, "many": 5, "one": 3}
OPENED = "() => document.querySelectorAll('details').forEach(e => e.open = true)"
VISIONS = ("none", "deuteranopia", "protanopia", "tritanopia")
FAR_ENOUGH = 8.0
"""Difference of two colours (CIE 1976 L*a*b*) that is seen at a glance in lines and markers."""


@pytest.fixture
def visit(browser, pages):
    """Opens a page; fails where it complains, or asks for anything but itself."""
    opened, said, asked = [], [], []

    def visit(name, width=1440, **media):
        page = browser.new_page(
            viewport={"width": width, "height": 900}, java_script_enabled=media.pop("scripts", True)
        )
        opened.append(page)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        if media:
            page.emulate_media(**media)
        page.goto(pages[name].as_uri())
        return page

    yield visit
    for page in opened:
        page.close()
    assert said == []
    assert [url for url in asked if not url.startswith("file://") or not url.endswith(".html")] == []


@pytest.mark.parametrize(("name", "width"), SEEN)
def test_nothing_is_wider_than_the_window_and_every_figure_is_seen_whole(visit, name, width):
    page = visit(name, width)
    assert page.evaluate(OVERFLOWING) == {"page": 0, "parts": []}
    page.evaluate(OPENED)
    assert page.evaluate(OVERFLOWING) == {"page": 0, "parts": []}
    figures = page.evaluate(FIGURES)
    assert len(figures) >= FIGURES_OF[name]
    for figure in figures:
        assert figure["width"] > 150 and figure["height"] > 40, figure
        assert figure["described"] and figure["out"] == [], figure
        assert figure["smallest"] >= 9, figure  # the box of a line of text, in pixels


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(visit, scheme):
    page = visit("full", color_scheme=scheme)
    page.evaluate(OPENED)
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 20
    assert {kind: ratio for kind, ratio in contrasts.items() if ratio < 4.5} == {}


def test_dark_is_dark(visit):
    shades = [np.asarray(Image.open(io.BytesIO(visit("one", color_scheme=scheme).screenshot())).convert("L")).mean()
              for scheme in ("light", "dark")]  # fmt: skip
    assert shades[0] > 200 and shades[1] < 60


def test_headings_are_in_order(visit):
    levels = visit("full").evaluate(HEADINGS)
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


def test_print_cuts_nothing_off(visit):
    page = visit("full", 720, media="print", color_scheme="dark")  # about the width of a sheet's text
    assert page.evaluate(OVERFLOWING) == {"page": 0, "parts": []}
    scrolled = page.evaluate("() => [...document.querySelectorAll('.scroll')].map(e => e.scrollWidth - e.clientWidth)")
    assert max(scrolled) <= 1
    folded = page.locator("details.printed:not([open]) .findings p")
    assert folded.count() >= 2 and all(folded.nth(i).is_visible() for i in range(folded.count()))
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    split = "() => [...document.querySelectorAll('figure, tr')].map(e => getComputedStyle(e).breakInside)"
    assert set(page.evaluate(split)) == {"avoid"}
    assert {kind: ratio for kind, ratio in page.evaluate(CONTRASTS).items() if ratio < 4.5} == {}
    assert page.pdf(format="A4", print_background=True).startswith(b"%PDF")


def test_it_is_whole_without_scripts(visit):
    page = visit("full", scripts=False)
    assert page.locator("figure svg").count() >= FIGURES_OF["full"]
    fold = page.locator("details", has=page.locator("summary", has_text="Against each control")).first
    assert not fold.locator(".findings").first.is_visible()
    fold.locator("summary").click()
    assert fold.locator(".findings").first.is_visible()


def lab(pixel):
    """A colour as CIE L*a*b* under D65."""
    rgb = np.asarray(pixel) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    t = xyz / np.array([0.9505, 1.0, 1.089])
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def seen(picture):
    """The colour that covers most of a picture after its background."""
    counts = sorted(Image.open(io.BytesIO(picture)).convert("RGB").getcolors(10**6), reverse=True)
    return lab(counts[1][1])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_series_are_told_apart_with_any_colour_vision(visit, scheme):
    page = visit("full", color_scheme=scheme)
    swatches = page.locator(".key .swatch")
    assert swatches.count() == 6
    shapes = [swatches.nth(i).inner_html() for i in range(6)]
    assert len(set(shapes)) == 6, "dashes and markers differ, whatever the colours"
    session = page.context.new_cdp_session(page)
    for vision in VISIONS:
        session.send("Emulation.setEmulatedVisionDeficiency", {"type": vision})
        colours = [seen(swatches.nth(i).screenshot()) for i in range(6)]
        nearest = min(np.linalg.norm(a - b) for i, a in enumerate(colours) for b in colours[:i])
        assert nearest >= FAR_ENOUGH, (vision, nearest)
