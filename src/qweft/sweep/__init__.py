"""Search for the best configuration of one adapter: `qweft sweep`."""
