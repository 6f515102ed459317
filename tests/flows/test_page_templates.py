"""Every page, in both languages and with extreme contexts: whole, escaped, light, and calling nobody."""

import re

import pytest

from tests.support.html import parse
from tests.support.preview_pages import LANGUAGES, PAGES, WEB, Page, render_page

CONSOLE_LOAD_BYTES = 115_000  # nobody comes there before they have signed in: all but the page and its own style sheet is in the browser
FIRST_LOAD_BYTES = 100_000  # without the establishment's logo; uncompressed


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_reader_gets_each_page_whole_when_the_contexts_are_extreme(language: str) -> None:
    for page in PAGES:
        document = parse(render_page(page, language))
        assert document.language == language, page.name
        assert len(document.headings) >= 1, page.name
        assert "%(" not in document.text, page.name
        assert "None" not in document.text.replace("None.", ""), page.name
        assert len(document.ids) == len(set(document.ids)), page.name
        for form in document.forms:
            is_search = form.method.lower() == "get"  # which only looks; whatever does something is a POST with a token
            assert is_search or form.method.lower() == "post", page.name
            assert ("csrf_token" in form.fields) is (form.id != "form-post-form" and not is_search), (page.name, form.id)


def test_a_page_calls_no_outside_host_and_holds_no_inline_code() -> None:
    for page in PAGES:
        markup = render_page(page, "fr")
        assert re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)", markup) is None, page.name
        assert [address for address in parse(markup).resources if not address.startswith(("/static/", "/logo/"))] == [], page.name


def test_a_page_escapes_what_it_is_given() -> None:
    hostile = '"><script>alert(1)</script>'
    names = {"establishment": {"name": hostile, "slug": "a", "logo_type": None}, "support": hostile, "support_code": hostile}
    for page in PAGES:
        context = {
            name: hostile if isinstance(value, str) and name not in {"error", "notice", "reason", "code"} else value
            for name, value in page.context.items()
        }
        assert "<script>" not in render_page(Page(page.name, page.template, {**context, **names}), "fr"), page.name


def test_a_phone_loads_each_page_under_a_hundred_kilobytes() -> None:
    for page in PAGES:
        markup = render_page(page, "fr")
        files = {address.partition("?")[0] for address in parse(markup).resources if address.startswith("/static/")} | {"/static/icon.svg"}
        weight = len(markup.encode()) + sum((WEB / address.removeprefix("/")).stat().st_size for address in files)
        most = CONSOLE_LOAD_BYTES if page.template.startswith("admin/") else FIRST_LOAD_BYTES
        assert 75_000 < weight < most, (page.name, weight)
