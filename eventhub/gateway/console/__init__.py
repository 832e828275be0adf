"""Console: the page at `/-/` for those who run, develop or audit a hub."""
