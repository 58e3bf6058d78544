"""Sizes of the house: `python -m scripts.house` prints those of the code, README and docs; `--check` holds them.

docs/architecture.md has a table with the most lines of each package; `--check` fails where one has more. A package that
must grow gets a larger number there, with its reason in the commit. Lines count everything; tokens leave out comments
and docstrings. What README and docs may have stands here, in `MOST`.
"""

import ast
import io
import re
import sys
import tokenize
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
MOST = {
    "README lines": 95,
    "README words": 600,
    "README numerals per 100 words": 4.0,
    "README brackets per 100 words": 1.0,
    "docs pages": 25,
    "docs words": 30_000,
}
"""The most of each: words of README are those of its prose, words of docs are all."""
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def size(path: Path) -> tuple[int, int]:
    """Return the lines and the tokens of a file."""
    text = path.read_text(encoding="utf-8")
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        for part in body if isinstance(body, list) else ():
            value = getattr(part, "value", None) if isinstance(part, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                docstrings.update(range(part.lineno, (part.end_lineno or part.lineno) + 1))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return text.count("\n"), sum(t.type not in NO_CODE and t.start[0] not in docstrings for t in tokens)


def packages() -> dict[str, list[int]]:
    """Return lines and tokens of each package of src, and of tests, research and benchmarks."""
    found: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for folder in ("src/qweft", "tests", "research", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).parts
            if parts[0].startswith("."):  # environments of the benchmarks
                continue
            name = (parts[0] if len(parts) > 1 else "(top)") if folder == "src/qweft" else folder
            for place, number in enumerate(size(path)):
                found[name][place] += number
    return dict(found)


def most() -> dict[str, int]:
    """Return the most lines of each package, from the table of the page."""
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `?([\w()]+)`? \| ([\d,]+) \|$", text, flags=re.MULTILINE)
    return {name: int(number.replace(",", "")) for name, number in rows}


def prose(text: str) -> str:
    """Return the sentences of a Markdown text: no code, tables, headings or targets of links."""
    text = re.sub(r"```.*?```|<!--.*?-->", " ", text, flags=re.DOTALL)
    lines = [line for line in text.splitlines() if not line.startswith(("    ", "|", "#"))]
    return re.sub(r"<[^>]+>|!?\[([^]]*)\]\([^)]*\)|`[^`]*`", r"\1", " ".join(lines))


def pages() -> dict[str, float]:
    """Return what `MOST` limits, of README and docs."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    docs = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")]
    text = prose(readme)
    words = len(re.findall(r"[A-Za-z][\w'-]*", text))
    numerals = len(re.findall(r"(?<![\w./-])\d+(?:[.,]\d+)*(?![\w/-]|\.\d)", text))
    return {
        "README lines": readme.count("\n"),
        "README words": words,
        "README numerals per 100 words": round(100 * numerals / words, 1),
        "README brackets per 100 words": round(100 * text.count("(") / words, 1),
        "docs pages": len(docs),
        "docs words": sum(len(page.split()) for page in docs),
    }


def main(words: list[str]) -> int:
    """Print the sizes; with `--check` return 1 where something is larger than allowed."""
    now, allowed, texts = packages(), most(), pages()
    for name, (lines, tokens) in sorted(now.items()):
        print(f"{name:14} {lines:7,} lines of {allowed.get(name, 0):7,} {tokens:8,} tokens")
    for name, number in texts.items():
        print(f"{name:30} {number:7,} of {MOST[name]:7,}")
    over = [name for name, (lines, _) in now.items() if lines > allowed.get(name, 0)]
    if "--check" in words and over:
        print(f"grown: {', '.join(sorted(over))}; cut, or raise the number in docs/architecture.md and say why")
        return 1
    if "--check" in words and (long := [name for name, number in texts.items() if number > MOST[name]]):
        print(f"too long: {', '.join(long)}; cut")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
