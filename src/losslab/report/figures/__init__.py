"""Figures of finished runs, drawn with matplotlib in one style: one kind of figure per file."""
