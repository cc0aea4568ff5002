"""The command line: one command per file. What is slow to import is imported inside the commands."""
