"""From run folders to conclusions: load, group, compare and test runs, without torch."""
