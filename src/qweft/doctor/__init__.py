"""Whether this machine is ready: versions, devices, caches, and a self-test that trains, saves, loads and compares."""
