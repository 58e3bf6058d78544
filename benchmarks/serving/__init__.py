"""Exports of adapters, run by the programs that they are made for."""
