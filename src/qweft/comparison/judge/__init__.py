"""Which method is better: paired statistics, searches for rates, and verdicts."""
