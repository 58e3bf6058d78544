"""The command line: one module per command, which imports heavy libraries only inside its `run`."""
