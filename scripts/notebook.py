"""Run examples/tutorial.ipynb from top to bottom and store its outputs: `python -m scripts.notebook`."""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "tutorial.ipynb"


PROGRESS = re.compile(r"\r?[^\r\n]*\x1b\[K")
"""A line of progress, which a slow machine shows and a terminal overwrites."""


def executed(folder: Path) -> Any:
    """Return the notebook, run in a folder. What goes to stderr, warnings and progress, is left out."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "NO_COLOR": "1", "TERM": "dumb", "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute(env=environment)
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            for output in cell.outputs:
                if "text" in output:
                    output.text = PROGRESS.sub("", output.text)
            wanted = (each for each in cell.outputs if each.get("name") != "stderr" and each.get("text") != "")
            cell.outputs = list(wanted)
    return notebook


def main() -> None:
    """Store the outputs in the notebook."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = executed(Path(folder))
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
