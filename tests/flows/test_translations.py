"""Every sentence of the pages is there in French, complete and well formed."""

import re
from collections.abc import Iterator

from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir

from idp.audit import EventType, Reason
from tests.support.preview_pages import WEB, read_catalogue

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w+\}|</?\w+[^>]*>")


def sentences() -> set[str | tuple[str, ...]]:
    """Every msgid that a template or a handler of idp/web asks for, and what each code of the trail means; a plural one is a pair."""
    found = extract_from_dir(
        str(WEB),
        method_map=[("**.html", "jinja2"), ("**.py", "python")],
        options_map={"**.html": {"encoding": "utf-8", "silent": "false"}},
        keywords={"_": None, "gettext": None, "ngettext": (1, 2), "lazy_gettext": None},
    )
    # The console asks for these by value: no call names them.
    codes = {code.description for kind in (EventType, Reason) for code in kind}
    return {message for _file, _line, message, _comments, _context in found} | codes


def french() -> dict[str | tuple[str, ...], Message]:
    catalogue = read_catalogue("fr")
    assert catalogue is not None
    return {(tuple(message.id) if isinstance(message.id, (list, tuple)) else message.id): message for message in catalogue if message.id}


def texts(message: Message) -> tuple[str, ...]:
    """Every form of the translation; empty when there is none."""
    if isinstance(message.string, str):
        return (message.string,)
    return tuple(message.string or ())


def pairs() -> Iterator[tuple[str, str]]:
    """(English, French) of every sentence, each plural form by itself."""
    for key, message in french().items():
        if isinstance(key, tuple):
            yield from ((key[min(form, len(key) - 1)], text) for form, text in enumerate(texts(message)))
        else:
            yield key, "".join(texts(message))


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
    assert [key for key, message in french().items() if isinstance(key, tuple) and len(texts(message)) != catalogue.num_plurals] == []


def test_a_french_sentence_keeps_the_placeholders_and_markup_of_the_english_one() -> None:
    wrong = [(english, text) for english, text in pairs() if sorted(PLACEHOLDER.findall(english)) != sorted(PLACEHOLDER.findall(text))]
    assert wrong == []


def test_a_french_sentence_never_breaks_before_its_punctuation() -> None:
    plain = [(text, PLACEHOLDER.sub("", text)) for _english, text in pairs()]
    assert [text for text, bare in plain if re.search(r" [;:!?»]|« |'", bare)] == []


def test_a_french_reader_is_told_until_when_to_wait_and_not_which_day_to_await() -> None:
    assert [text for _, text in pairs() if "attendre le %(" in text] == []
