"""Trained adapters, with their circuits, that answer: in a terminal, on a page, and to OpenAI's clients."""
