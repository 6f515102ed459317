"""The stand-in's pages: plain forms, which a person fills in Chromium and a test without a screen."""

from html import escape
from html.parser import HTMLParser


def _page(title: str, body: str) -> str:
    icon = '<link rel="icon" href="data:,">'  # else the browser asks for one
    return f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>{icon}</head><body><main>{body}</main></body></html>'


def login_page(tenant: str, context: str, *, hint: str, problem: str) -> str:
    """Sign in to your account."""
    said = f'<p role="alert" id="problem">{escape(problem)}</p>' if problem else ""
    return _page(
        "Sign in to your account",
        f"""<h1>Sign in</h1>{said}
        <form id="i0281" method="post" action="/{tenant}/login"><input type="hidden" name="ctx" value="{context}">
        <label>Account <input id="i0116" name="login" value="{escape(hint)}"></label>
        <label>Password <input id="i0118" name="passwd" type="password"></label>
        <button id="idSIButton9">Sign in</button></form>
        <form id="cancel" method="post" action="/{tenant}/cancel"><input type="hidden" name="ctx" value="{context}">
        <button id="idBtn_Back">Cancel</button></form>""",
    )


def mfa_page(tenant: str, context: str, problem: str = "") -> str:
    """Enter code."""
    said = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    return _page(
        "Verify your identity",
        f"""<h1>Enter code</h1>{said}<form id="mfa" method="post" action="/{tenant}/mfa">
        <input type="hidden" name="ctx" value="{context}"><label>Code <input id="idTxtBx_SAOTCC_OTC" name="otc"></label>
        <button id="idSubmit_SAOTCC_Continue">Verify</button></form>""",
    )


def form_post_page(redirect_uri: str, parameters: dict[str, str]) -> str:
    """The page that sends itself (OAuth 2.0 Form Post Response Mode)."""
    fields = "".join(f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in parameters.items())
    return _page(
        "Working...",
        f"""<form method="POST" name="hiddenform" action="{escape(redirect_uri)}">{fields}
        <noscript><p>Script is disabled. Click Submit to continue.</p><input type="submit" value="Submit"></noscript></form>
        <script language="javascript">document.forms[0].submit();</script>""",
    )


def error_page(code: int, words: str) -> str:
    """What is shown when the browser may not be sent back."""
    return _page(
        "Sign in to your account",
        f'<h1>Sorry, but we’re having trouble signing you in.</h1><p id="error">AADSTS{code}: {escape(words)}</p>',
    )


class _Form(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._is_over = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = found.get("action") or ""
        if tag == "input" and not self._is_over and found.get("name"):
            self.fields[found["name"] or ""] = found.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        self._is_over = self._is_over or tag == "form"


def read_form(markup: str) -> dict[str, str]:
    """The fields of the first form."""
    parser = _Form()
    parser.feed(markup)
    return parser.fields


def read_action(markup: str) -> str:
    """Where the first form goes."""
    parser = _Form()
    parser.feed(markup)
    return parser.action or ""
