"""How fast the desk is, measured from outside on a started daemon. See docs/benchmarks.md."""
