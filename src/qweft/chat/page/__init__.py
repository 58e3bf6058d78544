"""Chat on a page of this machine: what it knows (session), what a browser may ask (server), the page's own files."""
