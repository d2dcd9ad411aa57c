"""From run folders to conclusions: load, group, compare, test. Numbers only, no torch."""
