"""What every figure has in common: its size, its text, its colours."""
