"""The pictures of the documentation are what `python -m scripts.figures` draws from the committed results."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from scripts.figures import PICTURES
from scripts.picture import FOLDER, ROOT, THEMES, stamp

SVG = "{http://www.w3.org/2000/svg}"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}


def texts(svg):
    """All words of a picture: sorted, as the order of drawing may change."""
    return sorted("".join(each.itertext()).strip() for each in ElementTree.fromstring(svg).iter(f"{SVG}text"))


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_committed_picture_is_that_of_the_results(picture):
    drawn = stamp(picture.read())
    for theme in THEMES:
        kept = picture.file(theme).read_text(encoding="utf-8")
        (metadata,) = ElementTree.fromstring(kept).iter(f"{SVG}metadata")
        assert metadata.text == drawn, f"{picture.file(theme)}: draw it anew by python -m scripts.figures"
        assert texts(kept) == texts(picture.svg(theme))


def test_every_picture_stands_on_a_page_in_both_colours_with_words():
    kept = {path.name for path in FOLDER.glob("*.svg")}
    assert kept == {picture.file(theme).name for picture in PICTURES for theme in THEMES}
    for picture in PICTURES:
        for theme in THEMES:
            name = f"pictures/{picture.name}-{theme}.svg"
            shown = re.compile(rf"!\[([^\]]*)\]\({name}#only-{theme}\)")
            said = [alt for page in PAGES.values() for alt in shown.findall(page)]
            assert said and all(len(alt.split()) > 8 for alt in said), name
