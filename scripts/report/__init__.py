"""The report of ``make sim``: one HTML page with answers, kernels, floorplan, timeline, roofline and stall causes."""

from scripts.report.page import write_report

__all__ = ["write_report"]
