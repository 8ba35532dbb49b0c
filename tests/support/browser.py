"""Debian's chromium, driven by Playwright, on loopback only; skipped with a reason where one of them is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

#: A folder to keep the screenshots in.
SCREENSHOTS = "TERRAMOSAIC_SCREENSHOTS"

#: Milliseconds that anything may take; the machine may be busy.
_PATIENCE = 120_000


@contextmanager
def browser_page() -> Iterator[Any]:
    """A page of a fresh browser that reaches nothing but loopback."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1250, "height": 900})
        context.set_default_timeout(_PATIENCE)
        context.route("**/*", _loopback_only)
        try:
            yield context.new_page()
        finally:
            browser.close()


class Screenshots:
    """Numbered pictures of a page, in the folder that the environment names or in a temporary one."""

    def __init__(self, temporary: Path) -> None:
        self._folder = Path(os.environ.get(SCREENSHOTS) or temporary)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._taken = 0

    def take(self, page: Any, name: str) -> None:
        """The whole page: Prefect's scrolls within itself, so the window is made as high as what it shows."""
        usual = page.viewport_size
        height = page.evaluate("Math.max(...[...document.querySelectorAll('*')].map(e => e.scrollHeight))")
        page.set_viewport_size({"width": usual["width"], "height": int(height) + 60})
        self._taken += 1
        page.screenshot(path=self._folder / f"{self._taken}-{name}.png")
        page.set_viewport_size(usual)


def _loopback_only(route: Any) -> None:
    # The UI asks for its maker's analytics whatever the server is told.
    if urlsplit(route.request.url).hostname in ("127.0.0.1", "localhost"):
        route.continue_()
    else:
        route.abort()
