"""Debian's chromium, driven by Playwright, on loopback only; skipped with a reason where one of them is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

#: A folder to keep the screenshots in.
SCREENSHOTS = "TERRAMOSAIC_SCREENSHOTS"

#: Milliseconds that anything may take; the machine may be busy.
_PATIENCE = 300_000


@contextmanager
def browser_page(names: Mapping[str, str] | None = None) -> Iterator[Any]:
    """A page of a fresh browser that reaches nothing but loopback.

    Args:
        names: host names, each with the address of loopback that it stands for.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        # The UI asks for its maker's analytics whatever the server is told. Not by Playwright's routes: with these it
        # answers preflights itself, and allows all.
        rules = [f"MAP {name} {address}" for name, address in (names or {}).items()]
        rules += ["MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1", "EXCLUDE localhost"]
        browser = driver.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--no-proxy-server",
                f"--host-resolver-rules={', '.join(rules)}",
                # Chromium's own guard of loopback, which other browsers do not have: a test is about the server's.
                "--disable-features=LocalNetworkAccessChecks",
            ],
        )
        context = browser.new_context(viewport={"width": 1250, "height": 900})
        context.set_default_timeout(_PATIENCE)
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
