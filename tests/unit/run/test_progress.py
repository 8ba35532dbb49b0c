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


@pytest.mark.parametrize(
    ("windows", "seconds", "said"),
    [
        (0, 0.0, "0.0 windows/s"),
        (300, 20.0, "15.0 windows/s"),
        (20, 20.0, "1.0 windows/s"),
        (2, 41.0, "20.5 s a window"),
    ],
)
def test_what_is_slow_is_told_by_the_seconds_that_a_window_takes(windows, seconds, said):
    assert progress.speed_of(windows, seconds) == said
