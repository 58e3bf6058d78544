"""Private parts of names in PyTorch's modules. Checked with torch 2.13."""

COMPILED = "_orig_mod."
"""Part of the names of everything that `torch.compile` has wrapped. PyTorch defines no constant for it."""
SHARDED = "_fsdp_wrapped_module."
"""Part of the names of everything that FSDP has wrapped. PyTorch defines it in a private module only."""
