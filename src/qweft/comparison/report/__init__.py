"""Reports of comparisons, made from results.json alone: a page, Markdown, and two reports side by side."""
