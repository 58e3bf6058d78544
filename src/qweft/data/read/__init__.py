"""Rows of a source: a file, a folder, a data set on the hub, or an embedded one. `rows.py` chooses the reader."""
