"""The report of a comparison: console, HTML, Markdown, LaTeX, CSV and figures. No torch."""
