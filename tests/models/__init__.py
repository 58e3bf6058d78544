"""Tests of qweft.models."""
