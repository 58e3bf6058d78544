"""Entry point of `python -m qweft`."""

import sys

from qweft.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
