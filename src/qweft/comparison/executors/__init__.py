"""Where the runs of a comparison or a sweep are made: in this process, or on a Ray cluster."""
