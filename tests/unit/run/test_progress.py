"""Who watches a run sees bars where they can move, and lines elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from terramosaic.run import progress
from terramosaic.run.progress import Bars, Lines, shown_progress


@pytest.mark.parametrize(
    ("console", "widgets", "shows"),
    [
        ({"force_terminal": True}, False, Bars),
        ({"force_terminal": False}, True, Lines),
        ({"force_jupyter": True}, True, Bars),
        ({"force_jupyter": True}, False, Lines),
    ],
)
def test_bars_are_for_terminals_and_for_notebooks_with_widgets(monkeypatch, console, widgets, shows):
    monkeypatch.setattr(progress, "find_spec", lambda name: name if widgets else None)
    assert type(shown_progress(Console(file=io.StringIO(), **console))) is shows
