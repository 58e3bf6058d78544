"""Tests of qweft.data."""
