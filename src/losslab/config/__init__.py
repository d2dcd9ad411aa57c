"""Configs of runs: groups, composition, checks, instantiation. Nothing imports torch."""
