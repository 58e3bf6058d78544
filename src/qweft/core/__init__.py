"""What every package uses: errors, text, files, records, and the environment of a run."""
