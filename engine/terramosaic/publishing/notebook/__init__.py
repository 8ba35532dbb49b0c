"""What a notebook shows of requests, plans, mosaics and results.

Importing this registers what draws which value, as using the face of the package does.
"""

from terramosaic.mosaic.result import MapResult, Mosaic
from terramosaic.planning.plan import Plan
from terramosaic.publishing.notebook.mosaics import mosaic_html, result_html
from terramosaic.publishing.notebook.requests import plan_html, request_html
from terramosaic.request.request import RegionRequest
from terramosaic.shown import draw_html

draw_html.register(RegionRequest, request_html)
draw_html.register(Plan, plan_html)
draw_html.register(Mosaic, mosaic_html)
draw_html.register(MapResult, result_html)
