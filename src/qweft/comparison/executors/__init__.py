"""Executors, which make the runs of a comparison or a sweep: in this process, or on a Ray cluster."""
