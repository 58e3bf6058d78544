"""Chat on a local page: its state (session), its HTTP server (server), and its static files."""
