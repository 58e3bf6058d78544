"""Figures of the code's structure: `python -m scripts.structure` prints them; `--check` fails where a rule is broken.

Rules: at most 400 lines a file and 80 a function, no more small files and private reaches than today. The order of the
packages and circles of imports are import-linter's: pyproject.toml declares them, `make lint` runs it.
"""

import ast
import statistics
import sys
from pathlib import Path

from scripts.private_reach import all_reaches

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "qweft"
LONGEST_FILE, LONGEST_FUNCTION = 400, 80
SMALL = 60
"""Lines below which a file counts as small."""
MOST_SMALL = 0.15
LEAST_MEDIAN = 110
LONG_KERNEL = "backward_kernel"
"""A GPU kernel of one function, which Triton cannot call in parts."""


def long_functions(files: dict[Path, str]) -> list[str]:
    """Functions above the limit, as `file:line name (lines)`."""
    found = []
    for path, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != LONG_KERNEL:
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} ({lines})")
    return found


def main(words: list[str]) -> int:
    """Print the figures; with `--check` return 1 where a rule is broken."""
    files = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    lines = {path: len(text.splitlines()) for path, text in files.items() if path.name != "__init__.py"}
    small = sorted(path for path, count in lines.items() if count < SMALL)
    long = [f"{path.relative_to(ROOT)} ({count})" for path, count in lines.items() if count > LONGEST_FILE]
    functions = long_functions(files)
    median = statistics.median(lines.values())
    print(
        f"files           {len(lines)} ({len(files) - len(lines)} __init__.py besides), {sum(lines.values()):,} lines"
    )
    print(f"median lines    {median:.0f}")
    print(f"under {SMALL} lines  {len(small)} ({len(small) / len(lines):.0%})")
    print(f"private reach   {len(all_reaches())} places (listed in tests/test_internals.py)")
    for title, rows in (("files over 400 lines", long), ("functions over 80 lines", functions)):
        print(f"{title}: {', '.join(rows) or 'none'}")
    if "--small" in words:
        print("\n".join(f"  {path.relative_to(PACKAGE)} {lines[path]}" for path in small))
    broken = bool(long or functions) or len(small) > MOST_SMALL * len(lines) or median < LEAST_MEDIAN
    if "--check" in words and broken:
        print(
            f"broken: at most {MOST_SMALL:.0%} small files, a median of at least {LEAST_MEDIAN} lines, nothing too long"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
