"""Serves trained adapters, with their circuits, to clients of OpenAI's interface."""
