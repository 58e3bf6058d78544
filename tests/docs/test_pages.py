"""The documentation site has four kinds of page, and each page opens with what it gives and one command."""

import yaml

from tests.docs.blocks import ROOT

KINDS = ["Learn", "Do", "Understand", "Look up"]


def nav():
    """(kind, pages) as mkdocs.yml has them."""
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return [pair for section in config["nav"] for pair in section.items()]


def test_every_page_is_of_one_kind():
    listed = [page for _, pages in nav() for page in pages]
    assert [kind for kind, _ in nav()] == KINDS
    assert sorted(listed) == sorted(str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md"))
