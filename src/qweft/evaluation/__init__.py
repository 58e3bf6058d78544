"""How a model is judged: held-out loss and perplexity, generated answers."""
