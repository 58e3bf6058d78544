"""Exports adapters as plain LoRA: `linearise` converts them, `qweft.export.run` also measures and writes them."""
