"""The report in a real browser: on a phone and a wide screen, in light, dark and print."""

import itertools

import pytest

from tests.browser.browser import CONTRASTS, FIGURES, HEADINGS, OVERFLOWING

SEEN = [("full", 360), ("full", 1440), ("many", 360), ("many", 1440), ("one", 768)]
FIGURES_OF = {"full": 4, "many": 4, "one": 3}  # without circuits, which are images
OPENED = "() => document.querySelectorAll('details').forEach(e => e.open = true)"


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
