"""The threads and ticks of the daemon, one per file."""
