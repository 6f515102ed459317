"""Every sentence of the pages is there in French, complete and well formed, and every page renders in both languages."""

import re
from collections.abc import Iterator

import pytest
from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir

from tests.support.html import parse
from tests.support.preview_pages import LANGUAGES, PAGES, WEB, Page, environment, read_catalogue, render_page

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w+\}|</?\w+[^>]*>")


def sentences() -> set[str | tuple[str, ...]]:
    """Every msgid that a template or a handler of idp/web asks for; a plural one is a pair."""
    found = extract_from_dir(
        str(WEB),
        method_map=[("**.html", "jinja2"), ("**.py", "python")],
        options_map={"**.html": {"encoding": "utf-8", "silent": "false"}},
        keywords={"_": None, "gettext": None, "ngettext": (1, 2), "lazy_gettext": None},
    )
    return {message for _file, _line, message, _comments, _context in found}


def french() -> dict[str | tuple[str, ...], Message]:
    catalogue = read_catalogue("fr")
    assert catalogue is not None
    return {(tuple(message.id) if isinstance(message.id, (list, tuple)) else message.id): message for message in catalogue if message.id}


def pairs() -> Iterator[tuple[str, str]]:
    """(English, French) of every sentence, each plural form by itself."""
    for key, message in french().items():
        if isinstance(key, tuple):
            yield from ((key[min(form, len(key) - 1)], text) for form, text in enumerate(message.string))
        else:
            yield key, message.string


def test_a_french_reader_finds_every_sentence_translated() -> None:
    assert sentences(), "no sentence found: the extraction is broken"
    assert sentences() - set(french()) == set()
    assert [english for english, text in pairs() if not text.strip()] == []


def test_a_translator_finds_no_sentence_that_is_not_used_any_more() -> None:
    catalogue = read_catalogue("fr")
    assert catalogue is not None
    assert set(french()) - sentences() == set()
    assert list(catalogue.obsolete) == []


def test_a_french_sentence_is_never_fuzzy_and_has_every_plural() -> None:
    catalogue = read_catalogue("fr")
    assert catalogue is not None
    assert [message.id for message in catalogue if message.id and message.fuzzy] == []
    assert [key for key, message in french().items() if isinstance(key, tuple) and len(message.string) != catalogue.num_plurals] == []


def test_a_french_sentence_keeps_the_placeholders_and_markup_of_the_english_one() -> None:
    wrong = [(english, text) for english, text in pairs() if sorted(PLACEHOLDER.findall(english)) != sorted(PLACEHOLDER.findall(text))]
    assert wrong == []


def test_a_french_sentence_never_breaks_before_its_punctuation() -> None:
    plain = [(text, PLACEHOLDER.sub("", text)) for _english, text in pairs()]
    assert [text for text, bare in plain if re.search(r" [;:!?»]|« |'", bare)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_reader_gets_each_page_whole_when_the_contexts_are_extreme(language: str) -> None:
    made = environment(language)
    for page in PAGES:
        document = parse(render_page(page, language, made))
        assert document.language == language, page.name
        assert len(document.headings) >= 1, page.name
        assert "%(" not in document.text, page.name
        assert "None" not in document.text.replace("None.", ""), page.name
        assert len(document.ids) == len(set(document.ids)), page.name
        for form in document.forms:
            assert form.method.lower() == "post", page.name
            assert ("csrf_token" in form.fields) is (form.id != "form-post-form"), (page.name, form.id)


def test_a_page_calls_no_outside_host_and_holds_no_inline_code() -> None:
    made = environment("fr")
    for page in PAGES:
        markup = render_page(page, "fr", made)
        assert re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)", markup) is None, page.name
        assert [address for address in parse(markup).resources if not address.startswith(("/static/", "/logo/"))] == [], page.name


def test_a_page_escapes_what_it_is_given() -> None:
    hostile = '"><script>alert(1)</script>'
    names = {"establishment": {"name": hostile, "slug": "a", "logo_type": None}, "support": hostile, "support_code": hostile}
    made = environment("fr")
    for page in PAGES:
        context = {
            name: hostile if isinstance(value, str) and name not in {"error", "notice", "reason", "code"} else value
            for name, value in page.context.items()
        }
        assert "<script>" not in render_page(Page(page.name, page.template, {**context, **names}), "fr", made), page.name
