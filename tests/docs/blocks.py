"""The code blocks of the README and the documentation site, each with what kind of code it is.

A block between fences says by itself what it is. An indented one is known by what it holds: lines that begin with a
program are commands, and what follows them after an empty line is what they print; Python and YAML are what parses as
such; all else (formulas, pictures, folders) is text, which no command may hide in.
"""

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml
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
        output: What the page shows as its output.
        not_run: Why it is not run, as a comment before it says; none where it is run.
    """

    page: str
    line: int
    kind: str
    code: str
    output: str = ""
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
            label = token.info.split()[0] if token.info.split() else ""
            kind, code, output = (FENCES.get(label, label), token.content, "") if label else told(token.content)
            if kind == "commands" and label:
                kind, code, output = told(token.content)
            found.append(Block(page, token.map[0] + 1, kind, code, output, mark))
            mark = None
        elif token.type not in ("html_block",) and token.level == 0 and token.nesting >= 0:
            mark = None  # a mark stands directly before its block
    return found


def told(code):
    """The kind of a block that does not say it, its code, and its output."""
    if COMMAND.match(code):
        code, _, output = code.partition("\n\n")
        return "commands", code, output
    if (length := python_paragraphs(code)) is not None:
        paragraphs = re.split(r"\n\n+", code)
        return "python", "\n\n".join(paragraphs[:length]), "\n\n".join(paragraphs[length:])
    return ("json" if is_json(code) else "yaml" if is_yaml(code) else "text"), code, ""


def python_paragraphs(code):
    """How many of the paragraphs that a block begins with are Python; none where it is not."""
    paragraphs = re.split(r"\n\n+", code)
    for length in range(len(paragraphs), 0, -1):
        try:
            tree = ast.parse("\n\n".join(paragraphs[:length]))
        except SyntaxError:
            continue
        return length if any(isinstance(node, ast.Import | ast.ImportFrom | ast.With) for node in tree.body) else None
    return None


def is_json(code):
    """Whether every line is an object or a list."""
    try:
        return all(isinstance(json.loads(line), dict | list) for line in code.splitlines())
    except ValueError:
        return False


def is_yaml(code):
    """Whether every line at the margin begins with a key, and the whole is a mapping."""
    lines = [line for line in code.splitlines() if line.strip() and not line.startswith((" ", "#", "-"))]
    try:
        return all(re.match(r"[\w-]+:(\s|$)", line) for line in lines) and isinstance(yaml.safe_load(code), dict)
    except yaml.YAMLError:
        return False


BLOCKS = [block for path in PAGES for block in blocks_of(path)]
