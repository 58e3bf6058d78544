"""Device families, one module each. A module in this folder makes its devices available, listed and priced."""
