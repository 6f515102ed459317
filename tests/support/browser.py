"""A browser without a screen: cookies, redirects within the issuer, forms found and submitted by id; it stops where a client takes over.

Works over any httpx.Client: one whose transport is the WSGI application (flows), or a real one (live servers). Cookies follow RFC 6265
as far as we use them: per host and never per port, Secure, `__Host-`, Max-Age=0, and SameSite withheld on a cross-site POST.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx

from tests.support.html import Document, Form, parse

REDIRECTS = frozenset({301, 302, 303, 307, 308})
LONGEST_CHAIN = 20


@dataclass(frozen=True, slots=True)
class Callback:
    """What a client receives at its redirect URI. `repeated` names parameters that came more than once."""

    uri: str
    parameters: dict[str, str]
    mode: str  # query, fragment or form_post
    repeated: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> str:
        return self.parameters[name]

    def get(self, name: str) -> str | None:
        """A parameter, or None."""
        return self.parameters.get(name)


@dataclass(slots=True)
class Page:
    """Where the browser is. `callback` is set when the issuer has handed over to a client; `history` lists every URL on the way."""

    url: str
    status: int
    headers: httpx.Headers
    body: bytes
    callback: Callback | None
    history: tuple[str, ...]
    _document: Document | None = field(default=None, repr=False)

    @property
    def markup(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def document(self) -> Document:
        """The page, parsed."""
        if self._document is None:
            self._document = parse(self.markup)
        return self._document

    @property
    def text(self) -> str:
        """What a person can read, spaces collapsed."""
        return self.document.text

    @property
    def forms(self) -> dict[str, Form]:
        """The forms by id."""
        return {form.id: form for form in self.document.forms}

    @property
    def support_code(self) -> str | None:
        """The ten-character code that leads to the audit trail, when the page shows one."""
        found = re.search(r"\b[0-9A-HJKMNP-TV-Z]{10}\b|\b[0-9A-HJKMNP-TV-Z]{5}[- ][0-9A-HJKMNP-TV-Z]{5}\b", self.text)
        return found[0].replace("-", "").replace(" ", "") if found else None

    def __repr__(self) -> str:
        return f"<Page {self.status} {self.url} {self.text[:200]!r} callback={self.callback!r}>"


@dataclass(frozen=True, slots=True)
class Cookie:
    """A kept cookie."""

    name: str
    value: str
    path: str
    secure: bool
    http_only: bool
    same_site: str


class Browser:
    """One person's browser. `client` sends; `origins` are those whose redirects it follows (at first the issuer's)."""

    def __init__(
        self,
        client: httpx.Client,
        issuer: str,
        *,
        language: str = "fr",
        user_agent: str = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
        origins: tuple[str, ...] = (),
    ) -> None:
        self.client = client
        self.issuer = issuer
        self.origins = {issuer, *origins}
        self.headers: dict[str, str] = {"Accept-Language": language, "User-Agent": user_agent, "Accept": "text/html"}
        self.jar: dict[tuple[str, str], Cookie] = {}
        self.page: Page | None = None

    def get(self, url: str, parameters: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None) -> Page:
        """Go to a URL (relative to the issuer) and follow."""
        target = urljoin(self.issuer + "/", url)
        if parameters is not None:
            target = str(httpx.URL(target, params=dict(parameters)))
        return self._follow("GET", target, None, headers or {}, is_cross_site=False)

    def post(
        self,
        url: str,
        fields: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        cross_site: bool = False,
    ) -> Page:
        """Post fields to a URL as a form of our own page would; `cross_site`: as another site's form would (SameSite withholds cookies)."""
        target = urljoin(self.issuer + "/", url)
        return self._follow("POST", target, dict(fields or {}), headers or {}, is_cross_site=cross_site)

    def submit(self, form_id: str, *, page: Page | None = None, button: str | None = None, **fields: str) -> Page:
        """Fill and send a form of the page (the present one by default).

        Untouched controls keep their values. `button` names the submit button pressed: its name, its value or its text.
        """
        page = page or self.page
        if page is None or form_id not in page.forms:
            raise AssertionError(f"no form {form_id!r} on {page!r}; forms: {sorted(page.forms) if page else []}")
        form = page.forms[form_id]
        unknown = fields.keys() - form.fields.keys() - form.choices.keys()
        if unknown:
            raise AssertionError(f"form {form_id!r} has no control {sorted(unknown)}; it has {sorted(form.fields)}")
        sent = {**form.fields, **fields}
        if button is not None:
            pressed = next((entry for entry in form.buttons if button in entry), None)
            if pressed is None:
                raise AssertionError(f"form {form_id!r} has no button {button!r}; it has {form.buttons}")
            if pressed[0]:
                sent[pressed[0]] = pressed[1]
        elif len(form.buttons) >= 1 and form.buttons[0][0]:
            sent[form.buttons[0][0]] = form.buttons[0][1]  # Enter presses the first button
        target = urljoin(page.url, form.action or page.url)
        if form.method == "get":
            return self._follow("GET", str(httpx.URL(target, params=sent)), None, self._sent_from(page, target), is_cross_site=False)
        return self._follow("POST", target, sent, self._sent_from(page, target), is_cross_site=False)

    def press(self, button_id: str, *, page: Page | None = None) -> Page:
        """Press a button by its own id: forms of one button carry none."""
        page = page or self.page
        form = next((form for form in page.document.forms if button_id in form.button_ids), None) if page else None
        if page is None or form is None:
            raise AssertionError(f"no button {button_id!r} on {page!r}")
        name, value, _ = form.buttons[form.button_ids.index(button_id)]
        sent = {**form.fields, **({name: value} if name else {})}
        target = urljoin(page.url, form.action or page.url)
        return self._follow("POST", target, sent, self._sent_from(page, target), is_cross_site=False)

    def sign_in(self, identifier: str, password: str, *, page: Page | None = None) -> Page:
        """Fill the sign-in form of the present page."""
        return self.submit("signin-form", page=page, identifier=identifier, password=password)

    def cookie(self, name: str) -> Cookie | None:
        """A cookie of the issuer's host by its name, or None."""
        return self.jar.get((urlsplit(self.issuer).hostname or "", name))

    def forget_cookies(self) -> None:
        """As a person who clears their browser."""
        self.jar.clear()

    def request(self, method: str, url: str, **sent: Any) -> httpx.Response:
        """One request with the browser's cookies, nothing followed."""
        target = urljoin(self.issuer + "/", url)
        headers = {**self.headers, **sent.pop("headers", {})}
        if cookies := self._cookies_for(target, is_cross_site=sent.pop("is_cross_site", False)):
            headers["Cookie"] = cookies
        response = self.client.request(method, target, headers=headers, follow_redirects=False, **sent)
        self.client.cookies.clear()
        self._keep(response)
        return response

    def _follow(self, method: str, url: str, fields: dict[str, str] | None, headers: Mapping[str, str], *, is_cross_site: bool) -> Page:
        history: list[str] = []
        for _ in range(LONGEST_CHAIN):
            history.append(url)
            response = self.request(method, url, data=fields, headers=dict(headers), is_cross_site=is_cross_site)
            onward = _refreshed_to(response)
            if response.status_code not in REDIRECTS and onward is None:
                self.page = self._arrived(url, response, tuple(history))
                return self.page
            target = urljoin(url, onward or response.headers["Location"])
            if _origin(target) not in self.origins:
                self.page = Page(url, response.status_code, response.headers, response.content, _callback(target), tuple(history))
                return self.page
            if response.status_code not in {307, 308}:
                method, fields, headers, is_cross_site = "GET", None, {}, False
            url = target
        raise AssertionError(f"redirected {LONGEST_CHAIN} times: {history}")

    def _arrived(self, url: str, response: httpx.Response, history: tuple[str, ...]) -> Page:
        page = Page(url, response.status_code, response.headers, response.content, None, history)
        if "html" in response.headers.get("Content-Type", ""):
            for form in page.document.forms:
                target = urljoin(url, form.action or url)
                if form.method == "post" and _origin(target) not in self.origins:
                    page.callback = Callback(target, dict(form.fields), "form_post")
        return page

    def _sent_from(self, page: Page, target: str) -> dict[str, str]:
        headers = {"Origin": _origin(page.url)}
        policy = page.headers.get("Referrer-Policy", "strict-origin-when-cross-origin")
        is_same_origin = _origin(page.url) == _origin(target)
        if policy == "no-referrer" or (policy == "same-origin" and not is_same_origin):
            return {"Origin": "null"}  # Fetch standard: a policy that hides the referrer hides the origin of a form's POST
        headers["Referer"] = page.url if is_same_origin else f"{_origin(page.url)}/"
        return headers

    def _cookies_for(self, url: str, *, is_cross_site: bool) -> str:
        parts = urlsplit(url)
        return "; ".join(
            f"{cookie.name}={cookie.value}"
            for (host, _), cookie in self.jar.items()
            if host == parts.hostname
            and (parts.path or "/").startswith(cookie.path)
            and (not cookie.secure or parts.scheme == "https" or parts.hostname in {"localhost", "127.0.0.1"})
            and (not is_cross_site or cookie.same_site.lower() == "none")
        )

    def _keep(self, response: httpx.Response) -> None:
        host = response.request.url.host
        for line in response.headers.get_list("Set-Cookie"):
            for name, morsel in SimpleCookie(line).items():
                if _has_expired(morsel):
                    self.jar.pop((host, name), None)
                    continue
                cookie = Cookie(
                    name, morsel.value, morsel["path"] or "/", bool(morsel["secure"]), bool(morsel["httponly"]), morsel["samesite"] or "lax"
                )
                if name.startswith("__Host-") and (not cookie.secure or cookie.path != "/" or morsel["domain"]):
                    raise AssertionError(f"a browser refuses this cookie: {line}")
                self.jar[host, name] = cookie


def _refreshed_to(response: httpx.Response) -> str | None:
    """Where a page leads on to by itself, at once."""
    if "html" not in response.headers.get("Content-Type", ""):
        return None
    found = re.search(r'<meta http-equiv="refresh" content="0; url=([^"]+)">', response.text)
    return html.unescape(found[1]) if found else None


def _has_expired(morsel: "Morsel[str]") -> bool:
    if morsel["max-age"]:
        return int(morsel["max-age"]) <= 0
    return bool(morsel["expires"]) and parsedate_to_datetime(morsel["expires"]).year < 2000


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _callback(url: str) -> Callback:
    parts = urlsplit(url)
    mode = "fragment" if parts.fragment else "query"
    pairs = parse_qsl(parts.fragment or parts.query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    bare = url.split("#")[0].split("?")[0]
    return Callback(bare, dict(pairs), mode, tuple(sorted({name for name in names if names.count(name) > 1})))
