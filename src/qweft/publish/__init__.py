"""Publishing adapters: the model card of a trained adapter, and the upload to the hub."""
