"""Adapters for programs that do not know them: `linearise` makes a plain LoRA, `qweft.export.run` measures it."""
