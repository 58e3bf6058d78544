"""Sizes of the house: `python -m scripts.house` prints lines and tokens by package; `--check` holds them.

docs/architecture.md has a table with the most lines of each package; `--check` fails where one has more. A package that
must grow gets a larger number there, with its reason in the commit. Lines count everything; tokens leave out comments
and docstrings.
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
            name = (parts[0] if len(parts) > 1 else "(top)") if folder == "src/qweft" else folder
            for place, number in enumerate(size(path)):
                found[name][place] += number
    return dict(found)


def most() -> dict[str, int]:
    """Return the most lines of each package, from the table of the page."""
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `?([\w()]+)`? \| ([\d,]+) \|$", text, flags=re.MULTILINE)
    return {name: int(number.replace(",", "")) for name, number in rows}


def main(words: list[str]) -> int:
    """Print the sizes; with `--check` return 1 where a package has more lines than its row allows."""
    now, allowed = packages(), most()
    for name, (lines, tokens) in sorted(now.items()):
        print(f"{name:14} {lines:7,} lines of {allowed.get(name, 0):7,} {tokens:8,} tokens")
    over = [name for name, (lines, _) in now.items() if lines > allowed.get(name, 0)]
    if "--check" in words and over:
        print(f"grown: {', '.join(sorted(over))}; cut, or raise the number in docs/architecture.md and say why")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
