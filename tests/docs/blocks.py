"""The code blocks of the README and the documentation site, each with what kind of code it is.

A block between fences says by itself what it is. An indented one is text (formulas, pictures, folders), which no
command may hide in.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("qweft", "make", "pip", "python", "python3", "source", "accelerate", "hf", "git", "cd", "export",
            "echo", "printf", "eval")  # fmt: skip
COMMAND = re.compile(rf"(\$ )?([A-Z_]+=\S+ )*({'|'.join(PROGRAMS)}) \S")
MARK = re.compile(r"<!--\s*not run: (?P<why>.+?)\s*-->", re.DOTALL)
FENCES = {"bash": "commands", "console": "commands", "sh": "commands", "py": "python", "yml": "yaml",
          "diff": "text"}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A piece of code.

    Args:
        page: From the root of the repository: docs/tutorial.md.
        line: Where it begins.
        kind: commands, python, yaml, json, or text.
        code: What it holds.
        not_run: Why it is not run, as a comment before it says; none where it is run.
    """

    page: str
    line: int
    kind: str
    code: str
    not_run: str | None = None

    @property
    def where(self):
        return f"{self.page}:{self.line}"

    @property
    def commands(self):
        """The command lines, continued lines joined, without comments."""
        joined = re.sub(r"\\\n\s*", " ", self.code)
        return [line.removeprefix("$ ") for line in joined.splitlines() if COMMAND.match(line)]


def blocks_of(path):
    """All blocks of a page."""
    page, found, mark = str(path.relative_to(ROOT)), [], None
    for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
        if token.type == "html_block":
            comment = MARK.search(token.content)
            mark = " ".join(comment["why"].split()) if comment else mark
        elif token.type in ("fence", "code_block"):
            label = (token.info.split() or ["text"])[0]
            found.append(Block(page, token.map[0] + 1, FENCES.get(label, label), token.content, mark))
            mark = None
        elif token.type not in ("html_block",) and token.level == 0 and token.nesting >= 0:
            mark = None  # a mark stands directly before its block
    return found


BLOCKS = [block for path in PAGES for block in blocks_of(path)]
