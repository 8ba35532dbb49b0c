"""The report leads to its run on the map, where it is known under which URL that is served."""

from __future__ import annotations

import pytest

from terramosaic.publishing.record import gather
from terramosaic.publishing.report import render_report


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://maps.example/here/", 'href="https://maps.example/here/#run={run}"'),
        ("", None),
        ("javascript:alert(1)", None),
        ('https://maps.example/"><script>', 'href="https://maps.example/&#34;&gt;&lt;script&gt;/#run={run}"'),
    ],
)
def test_the_report_leads_to_its_run_on_the_map(kite, monkeypatch, url, link):
    monkeypatch.setenv("TERRAMOSAIC_PUBLIC_URL", url)
    page = render_report(gather(kite))
    assert ("On the map" in page) == (link is not None)
    if link is not None:
        assert link.format(run=kite.run_id) in page
