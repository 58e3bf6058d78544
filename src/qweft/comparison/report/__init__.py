"""The report of a comparison: as a page, as Markdown, and beside another one; all from results.json alone."""
