"""Families of devices, a module for each: what stands in this folder can be named, is listed and has a price."""
