"""Checks of this machine: versions, devices, caches, and a self-test that trains, saves and loads an adapter."""
