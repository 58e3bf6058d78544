"""The command line: one module per command, none of which imports torch before its command runs."""
