"""Programs behind the published tables. research/LOG.md says what was tried, research/pages how it went."""
