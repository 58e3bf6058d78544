"""The data: formats in, conversations out; chat templates, tokens, splits, the embedded data sets."""
