"""Exports adapters as plain LoRA: `linearise` converts them, `qweft.exporting.run` also measures and writes them."""
