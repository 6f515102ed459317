"""What a browser does in a sign-in, as far as the bench needs it: cookies, forms, redirects.

Cookies are kept by name alone (one server, one person, so paths do not matter). Forms are read from the page,
never assumed: the action, the hidden fields, the field for the identifier and the one for the password.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from bench.http import Response, get, post
from bench.load import Flow, FlowError

MOST_STEPS = 12
_TYPED = ("text", "email", "search")
_UNSENT = ("checkbox", "radio", "reset", "button", "image", "file")


@dataclass(slots=True)
class Form:
    """A form as read: `fields` holds what it would send untouched, with the first named button of those that submit."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    identifier_field: str | None = None
    password_field: str | None = None
    button: tuple[str, str] | None = None

    def filled(self, identifier: str, password: str) -> dict[str, str]:
        """What a person would send who types these two and presses the first button."""
        values = dict(self.fields)
        if self.identifier_field is not None:
            values[self.identifier_field] = identifier
        if self.password_field is not None:
            values[self.password_field] = password
        if self.button is not None:
            values[self.button[0]] = self.button[1]
        return values


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.current: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.current = Form(action=values.get("action", ""), method=values.get("method", "get").lower())
            self.forms.append(self.current)
        elif self.current is not None and tag in ("input", "button"):
            kind = values.get("type", "submit" if tag == "button" else "text").lower()
            _read_control(self.current, kind, values)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.current = None


def _read_control(form: Form, kind: str, values: dict[str, str]) -> None:
    name = values.get("name", "")
    if not name or kind in _UNSENT:
        return
    if kind == "submit":
        form.button = form.button or (name, values.get("value", ""))
        return
    form.fields[name] = values.get("value", "")
    if kind == "password":
        form.password_field = form.password_field or name
    elif kind in _TYPED:
        form.identifier_field = form.identifier_field or name


def read_forms(page: str) -> list[Form]:
    """Every form of an HTML page, in order."""
    reader = _FormReader()
    reader.feed(page)
    return reader.forms


def next_form(page: str) -> Form:
    """The form a person would fill: the one that asks a password, else the first that posts. Raises FlowError."""
    posted = [form for form in read_forms(page) if form.method == "post"]
    for form in posted:
        if form.password_field is not None:
            return form
    if posted:
        return posted[0]
    raise FlowError("a page without a form to post")


@dataclass(slots=True)
class Browser:
    """One browser: its cookies and the page it is on. `host` is host:port, `base` the origin."""

    host: str
    cookies: dict[str, str] = field(default_factory=dict)
    url: str = ""

    @property
    def base(self) -> str:
        """The origin this browser talks to."""
        return f"http://{self.host}"

    def headers(self) -> dict[str, str]:
        """The headers that a browser adds to a request."""
        headers = {"Accept": "text/html", "Accept-Language": "fr,en;q=0.5"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return headers

    def open(self, url: str) -> bytes:
        """The bytes of a GET of an absolute or relative address. Raises FlowError when it leaves the server."""
        return get(self.host, self._go(url), self.headers())

    def submit(self, form: Form, values: dict[str, str]) -> bytes:
        """The bytes of the POST of a form found on the current page."""
        target = self._go(form.action or self.url)
        return post(self.host, target, values, {**self.headers(), "Origin": self.base, "Referer": self.url})

    def _go(self, url: str) -> str:
        self.url = urljoin(self.url or self.base, url)
        parts = urlsplit(self.url)
        if parts.netloc != self.host:
            raise FlowError(f"sent to another host: {parts.netloc}")
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def keep(self, response: Response) -> None:
        """Take over the cookies of a response."""
        for name, value in response.set_cookies():
            if value is None:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value


@dataclass(slots=True)
class Arrival:
    """Where a visit ended: the address at the client, with code or error in its query."""

    url: str = ""


def visit(browser: Browser, url: str, until: str, credentials: tuple[str, str] | None, arrival: Arrival) -> Flow:
    """Open `url`, follow redirects and fill forms until the server redirects to an address beginning with `until`.

    `credentials` are (identifier, password), typed once; None means that no page may be shown at all.
    The address reached is left in `arrival`. Raises FlowError on a refusal, an error page or too many steps.
    """
    request = browser.open(url)
    typed = False
    for _ in range(MOST_STEPS):
        response = yield request
        browser.keep(response)
        if response.status in (302, 303):
            target = response.location or ""
            if target.startswith(until):
                arrival.url = target
                return
            request = browser.open(target)
            continue
        if response.status != 200 or credentials is None:
            raise FlowError(f"status {response.status} at {urlsplit(browser.url).path.split('/')[1]}")
        form = next_form(response.body.decode("utf-8"))
        if form.password_field is not None:
            if typed:
                raise FlowError("the credentials were not accepted")
            typed = True
        request = browser.submit(form, form.filled(*credentials))
    raise FlowError("too many steps")
