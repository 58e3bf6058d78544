"""Shared size, text and style of all figures."""
