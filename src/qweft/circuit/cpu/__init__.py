"""The compiled engine for CPUs: programs, kernels in Numba, and threads."""
