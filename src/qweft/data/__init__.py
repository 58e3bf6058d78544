"""Data sets: reading, conversations, chat templates, tokens, splits, batches, checks, and the embedded data sets."""
