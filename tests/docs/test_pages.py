"""The documentation site has four kinds of page, and each page opens with what it gives and one command."""

import re

import pytest
import yaml
from markdown_it import MarkdownIt

from tests.docs.blocks import ROOT

KINDS = ["Learn", "Do", "Understand", "Look up"]
LONGEST_OPENING = 60
"""Words before the first command, over at most three paragraphs."""


def nav():
    """(kind, pages) as mkdocs.yml has them."""
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return [pair for section in config["nav"] for pair in section.items()]


def test_every_page_is_of_one_kind():
    listed = [page for _, pages in nav() for page in pages]
    assert [kind for kind, _ in nav()] == KINDS
    assert sorted(listed) == sorted(str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", [page for _, pages in nav() for page in pages])
def test_a_page_opens_with_what_it_gives_and_one_command(page):
    text = re.sub(r"<!--.*?-->", "", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    tokens = [token for token in MarkdownIt().parse(text) if token.level == 0 or token.type == "inline"]
    assert tokens[0].tag == "h1" and tokens[3].type == "paragraph_open", f"{page} does not open with a paragraph"
    first = next(place for place, token in enumerate(tokens) if token.type in ("code_block", "fence"))
    before = [token for token in tokens[3:first] if token.type == "inline"]
    assert not any(token.tag in ("h2", "h3", "table", "ul") for token in tokens[3:first]), page
    assert sum(len(token.content.split()) for token in before) <= LONGEST_OPENING, f"{page}: its opening is too long"


@pytest.mark.parametrize("page", [page for _, pages in nav() for page in pages])
def test_an_appendix_is_the_last_part_of_its_page(page):
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)
    places = [place for place, heading in enumerate(headings) if heading.startswith("Appendix")]
    assert places in ([], [len(headings) - 1]), page


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{page}" for _, pages in nav() for page in pages)])
def test_no_line_of_a_sentence_begins_as_an_item_of_a_list(page):
    """A line that begins with `4. ` by a break of lines is drawn as a list by some renderers."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for block in re.split(r"\n\s*\n", text):
        numbers = [int(number) for number in re.findall(r"^ {0,3}(\d+)\. ", block, flags=re.MULTILINE)]
        first = numbers[0] if re.match(r"\s*\d+\. ", block) else 1
        assert numbers == list(range(first, first + len(numbers))), f"{page}: {block[:80]}"
