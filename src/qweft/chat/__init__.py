"""A trained adapter talked to, alone or beside its base model or another adapter: in a terminal, or on a local page."""
