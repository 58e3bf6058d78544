"""Candidates for a preset that wins: what docs/research.md tells, to be run again."""
