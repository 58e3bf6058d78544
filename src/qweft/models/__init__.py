"""Where a base model comes from: a hub id, a local folder, or an installed package."""
