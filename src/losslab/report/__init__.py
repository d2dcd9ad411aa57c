"""The report of a comparison: one folder of tables and text."""

from losslab.report.write import write_report

__all__ = ["write_report"]
