"""Every template in every state it has words for, with names too long and lists too full, judged by axe-core. Served by the preview."""

import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.watched import Watched
from tests.support.preview_pages import PAGES, open_server, render_page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def preview() -> Iterator[str]:
    """The preview's address."""
    server = open_server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("language", "width", "scheme"), [("fr", 390, "light"), ("en", 1280, "dark")])
def test_every_template_satisfies_axe(chromium: Browser, preview: str, language: str, width: int, scheme: str) -> None:
    """Each page once: every other one as a French phone shows it, the rest as an English desktop in the dark."""
    dark = scheme == "dark"
    context = chromium.new_context(viewport={"width": width, "height": 844}, color_scheme="dark" if dark else "light")
    watched = Watched(context.new_page(), allowed=(preview,))
    watched.bring_axe()
    watched.page.goto(f"{preview}/{language}/{PAGES[0].name}")
    for shown in PAGES[dark::2]:
        if shown.name.startswith("form-post"):
            continue  # it posts itself away at once; tests/flows/test_page_templates.py reads it
        watched.show(f"/{language}/{shown.name}", render_page(shown, language))
        watched.check()
    context.close()


@pytest.mark.parametrize(
    ("fault", "rule"),
    [('<p style="color: #ccc">pâle</p>', "color-contrast"), ('<img src="/logo/x">', "image-alt"), ("<h4>trop loin</h4>", "heading-order")],
)
def test_fault_of_a_page_that_is_shown_is_found(chromium: Browser, preview: str, fault: str, rule: str) -> None:
    context = chromium.new_context(bypass_csp=True)
    watched = Watched(context.new_page(), allowed=(preview,))
    watched.bring_axe()
    watched.page.goto(f"{preview}/fr/{PAGES[0].name}")
    before, end, after = render_page(PAGES[1], "fr").partition("</main>")
    watched.show("/fr/faulty", f"{before}{fault}{end}{after}")
    with pytest.raises(AssertionError, match=f"fr/faulty\n{rule}"):
        watched.check()
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_sections_of_the_console_begin_and_end_where_the_page_does(chromium: Browser, preview: str, width: int) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 844})
    page = context.new_page()
    page.goto(f"{preview}/fr/resets")
    heading, line, first = (page.locator(one).first.bounding_box() for one in ("main h1", ".console-nav", ".console-nav a"))
    context.close()
    assert heading is not None
    assert line is not None
    assert first is not None
    assert (line["x"], line["width"], first["x"]) == pytest.approx((heading["x"], heading["width"], heading["x"]), abs=0.5)
