"""The pictures of the documentation are what `python -m scripts.figures` draws from the committed results."""

import xml.etree.ElementTree as ElementTree

import pytest
from scripts.figures import PICTURES
from scripts.picture import THEMES, stamp

SVG = "{http://www.w3.org/2000/svg}"


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
