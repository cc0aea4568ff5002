"""Where the rooms meet: gather facts, decide, apply the decision, all in one transaction."""
