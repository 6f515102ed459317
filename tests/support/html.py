"""The forms, links, headings and visible text of a page, read with the standard library's parser."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

UNSEEN = frozenset({"script", "style", "title", "head", "template"})


@dataclass(slots=True)
class Form:
    """A form: where it goes, and every control's name with the value a browser would send untouched.

    `buttons` holds (name, value, text) of each submit button; a button's pair is sent only when it is the one pressed.
    """

    id: str
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)
    button_ids: list[str] = field(default_factory=list)
    autocomplete: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Document:
    """What a test asks of a page."""

    forms: list[Form]
    links: list[tuple[str, str]]
    resources: list[str]
    headings: list[str]
    title: str
    language: str
    text: str
    ids: list[str]


def parse(markup: str) -> Document:
    """Read a page."""
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return Document(
        forms=reader.forms,
        links=[(href, " ".join(text.split())) for href, text in reader.links],
        resources=reader.resources,
        headings=[" ".join(heading.split()) for heading in reader.headings],
        title=" ".join(reader.title.split()),
        language=reader.language,
        text=" ".join(" ".join(reader.text).split()),
        ids=reader.ids,
    )


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.links: list[tuple[str, str]] = []
        self.resources: list[str] = []
        self.headings: list[str] = []
        self.title = ""
        self.language = ""
        self.text: list[str] = []
        self.ids: list[str] = []
        self._form: Form | None = None
        self._select: str | None = None
        self._area: tuple[Form, str] | None = None
        self._button: tuple[str, str] | None = None
        self._button_text = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        present = {name for name, _ in attrs}
        if values.get("id"):
            self.ids.append(values["id"])
        self._open.append(tag)
        if tag == "html":
            self.language = values.get("lang", "")
        elif tag == "a" and "href" in present:
            self.links.append((values["href"], ""))
        elif tag in {"link", "img", "script"} and (address := values.get("href") or values.get("src")):
            self.resources.append(address)
        elif tag in {"h1", "h2", "h3"}:
            self.headings.append("")
        elif tag == "form":
            method = values.get("method", "get").lower()
            self._form = Form(id=values.get("id", ""), action=values.get("action", ""), method=method)
            self.forms.append(self._form)
        else:
            self._control(tag, values, present)
        if tag in {"input", "link", "img", "meta", "br", "hr"}:
            self._open.pop()

    def _control(self, tag: str, values: Mapping[str, str], present: set[str]) -> None:
        name = values.get("name", "")
        # A control outside the form may belong to it by its `form` attribute.
        form = next((form for form in self.forms if values.get("form") and form.id == values["form"]), self._form)
        if form is None:
            return
        if tag == "option" and self._select:
            form.choices.setdefault(self._select, []).append(values.get("value", ""))
            if "selected" in present or self._select not in form.fields:
                form.fields[self._select] = values.get("value", "")
        elif tag == "select":
            self._select = name
        elif tag == "button" and values.get("type", "submit") == "submit":
            self._button = (name, values.get("value", ""))
            self._button_text = ""
            form.button_ids.append(values.get("id", ""))
        elif tag == "textarea" and name:
            form.fields[name] = ""
            self._area = (form, name)
        elif tag == "input" and name and "disabled" not in present:
            self._input(form, name, values, is_checked="checked" in present)

    def _input(self, form: Form, name: str, values: Mapping[str, str], *, is_checked: bool) -> None:
        kind = values.get("type", "text")
        form.types[name] = kind
        form.autocomplete[name] = values.get("autocomplete", "")
        if kind in {"radio", "checkbox"}:
            form.choices.setdefault(name, []).append(values.get("value", "on"))
            if is_checked:
                form.fields[name] = values.get("value", "on")
        elif kind == "submit":
            form.buttons.append((name, values.get("value", ""), values.get("value", "")))
        else:
            form.fields[name] = values.get("value", "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                continue
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._area = None
        elif tag == "button" and self._button and self.forms:
            (self._form or self.forms[-1]).buttons.append((*self._button, " ".join(self._button_text.split())))
            self._button = None

    def handle_data(self, data: str) -> None:
        if "title" in self._open:
            self.title += data
        if UNSEEN & set(self._open):
            return
        self.text.append(data)
        if self._area is not None:
            form, name = self._area
            # The newline right after the tag is not of the value (HTML section 13.1.2.5).
            form.fields[name] += data if form.fields[name] else data.removeprefix("\n")
        if self._button is not None:
            self._button_text += data
        if {"h1", "h2", "h3"} & set(self._open):
            self.headings[-1] += data
        if "a" in self._open and self.links:
            href, text = self.links[-1]
            self.links[-1] = (href, text + data)
