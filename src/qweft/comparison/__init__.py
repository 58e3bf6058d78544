"""Comparisons of methods times seeds under one budget: runs, statistics, tables, curves and report."""
