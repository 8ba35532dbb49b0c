"""The report of a run: one HTML page that holds everything it shows and opens anywhere, without a network.

page        the whole
sections    head, figures and timings
maps        pictures, swipes and legends
imagery     acquisitions and scenes
repeat      how to make the run again
"""

from terramosaic.publishing.report.page import render_report

__all__ = ["render_report"]
