"""One run: plan, train, save."""
