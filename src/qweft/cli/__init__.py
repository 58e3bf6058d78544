"""The command line: commands by topic, which import heavy libraries only when they run."""
