"""Chromium (Debian's, never a downloaded one) and the demonstration exactly as `make run` starts it, on free ports in a private folder."""

import sys
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, expect, sync_playwright

from tests.browser.watched import Watched
from tests.support.demonstration import Demonstration, demonstration
from tests.support.processes import program

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
NewPage = Callable[..., Watched]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """`python -m demo`, running and announced."""
    with demonstration(tmp_path_factory.mktemp("demo"), python=sys.executable) as running:
        yield running


@pytest.fixture(scope="session")
def driver() -> Iterator[Playwright]:
    """What drives browsers; there may be one only."""
    expect.set_options(timeout=15_000)  # a page of a busy machine comes late: five seconds are too few
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def chromium(driver: Playwright) -> Iterator[Browser]:
    """One Chromium for the session: its shell without windows, the same engine at half the cost of the whole browser."""
    browser = driver.chromium.launch(executable_path=program("chromium-headless-shell", "chromium-headless-shell"), args=ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture
def new_page(chromium: Browser, demo: Demonstration) -> Iterator[NewPage]:
    """Open a page in a browser of its own: `new_page(javascript=True, locale="fr-FR", width=1280, height=800)`."""
    contexts: list[BrowserContext] = []

    def make(*, javascript: bool = True, locale: str = "fr-FR", width: int = 1280, height: int = 800) -> Watched:
        context = chromium.new_context(java_script_enabled=javascript, locale=locale, viewport={"width": width, "height": height})
        context.set_default_timeout(15_000)
        contexts.append(context)
        return Watched(context.new_page(), allowed=(demo.issuer, demo.app_url))

    yield make
    for context in contexts:
        context.close()
