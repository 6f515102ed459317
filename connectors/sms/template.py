"""A request to an SMS service, written by an operator with placeholders: what may stand where, and how each place encodes what is put in.

Pure. A value never ends the place it is put in: percent-encoded in a URL, a JSON string, a form field; headers take no text of ours. A placeholder in
a value (a text that says {secret}) stays what it is.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from connectors.sms.settings import SmsHttpSettings

PLACEHOLDERS = ("to", "to_digits", "text", "sender", "secret", "id")
IN_HEADERS = ("sender", "secret", "id")
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
HEADER_NAME = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,80}$")
VISIBLE = re.compile(r"^[\x20-\x7e]*$")


def fill_url(template: str, values: Mapping[str, str]) -> str:
    """The URL, each value percent-encoded whole: `/`, `?` and `&` of a text are text."""
    return _fill(template, {name: quote(value, safe="") for name, value in values.items()})


def fill_headers(templates: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """The headers; ValueError when a value would end its line or is not ASCII."""
    filled = {name: _fill(template, values) for name, template in templates.items()}
    for name, value in filled.items():
        if not VISIBLE.match(value):
            raise ValueError(f"the header {name} would hold what a header cannot")
    return filled


def fill_body(template: Any, values: Mapping[str, str]) -> Any:
    """A body with every text in it filled; keys, numbers and the rest as they are."""
    if isinstance(template, str):
        return _fill(template, values)
    if isinstance(template, Mapping):
        return {name: fill_body(item, values) for name, item in template.items()}
    if isinstance(template, list | tuple):
        return [fill_body(item, values) for item in template]
    return template


def problems(settings: SmsHttpSettings) -> Iterator[tuple[str, str]]:
    """What is wrong with a template, as (path within the section, message)."""
    used: set[str] = set()
    for path, text, allowed in _texts(settings):
        for name in PLACEHOLDER.findall(text):
            used.add(name)
            if name not in PLACEHOLDERS:
                yield path, f"{{{name}}} stands for nothing: there are {_named(PLACEHOLDERS)}"
            elif name not in allowed:
                yield path, f"{{{name}}} cannot stand in a header: only {_named(IN_HEADERS)}"
    for header, value in settings.headers.items():
        if not HEADER_NAME.match(header) or not VISIBLE.match(value):
            yield f"headers.{header}", "is not a header (ASCII, one line)"
    if not used & {"to", "to_digits"}:
        yield "body", "nothing says whom to send to: {to} or {to_digits}"
    if "text" not in used:
        yield "body", "nothing says what to send: {text}"
    if "secret" in used and settings.secret is None:
        yield "secret", "{secret} is used, and there is none"
    if settings.username is not None and settings.secret is None:
        yield "secret", "is needed with a username"
    if settings.secret is not None and "secret" not in used and settings.username is None:
        yield "secret", "is used nowhere: write {secret} where the service wants it, or give a username"
    if settings.secret is not None and "{secret}" in settings.url:
        yield "url", "a secret in a URL ends in the service's access log: use a header or the body"
    if settings.format == "none" and settings.body:
        yield "body", "is not sent with the format none"
    if settings.format == "form" and any(isinstance(item, dict | list) for item in settings.body.values()):
        yield "body", "a form has no lists and no mappings"
    if settings.method == "GET" and settings.format != "none":
        yield "format", "GET sends no body: none"


def _texts(settings: SmsHttpSettings) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    yield "url", settings.url, PLACEHOLDERS
    for name, value in settings.headers.items():
        yield f"headers.{name}", value, IN_HEADERS
    yield from (("body", text, PLACEHOLDERS) for text in _leaves(settings.body))


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        yield from _leaves(item)


def _fill(template: str, values: Mapping[str, str]) -> str:
    # One pass: what a value brings is never filled in turn.
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
