"""Evaluation of models: held-out loss and perplexity, generated answers, forgetting."""
