"""Simulators and chips of other packages, a module for each family, imported when it is asked for."""
