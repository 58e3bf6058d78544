"""The fused engine for GPUs, in Triton."""
