"""Methods times seeds under one budget: records, statistics, table, curves, page."""
