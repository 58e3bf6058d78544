"""Base models: found by `find`, made ready by `resolve` and `prepare`, loaded by `load`, and checked on the way."""
