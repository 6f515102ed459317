"""A Chromium page that is watched: every request's origin, every page's weight, every console error, and axe-core on demand."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import ConsoleMessage, Page, Request, Response

HEAVIEST_BYTES = 150_000
RULES = {
    "resultTypes": ["violations"],  # of the rest only the first node is worked out
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
}

WRITE = """([path, html]) => new Promise(written => {
    history.replaceState(null, "", path)
    document.open()
    document.write(html)
    document.close()
    if (document.readyState === "complete") written()
    else addEventListener("load", () => written(), {once: true})
})"""


@dataclass
class Watched:
    """`page` is Playwright's. `allowed` are the origins that may be asked; everything else is a fault."""

    page: Page
    allowed: tuple[str, ...]
    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _responses: list[Response] = field(default_factory=list)
    _documents: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("request", self._asked)
        self.page.on("response", lambda response: self._responses.append(response))  # a plain method of list cannot be marked
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def weight(self, url: str) -> int:
        """Load a URL again in the same browser without its cache, and count the bytes of every body as sent."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        self._responses.clear()
        self.page.goto(url, wait_until="networkidle")
        session.detach()
        return sum(response.request.sizes()["responseBodySize"] for response in self._responses)

    def bring_axe(self) -> None:
        """Have axe-core in every page from its beginning, for many pages: it is half a megabyte to send."""
        self.page.add_init_script(AXE_SCRIPT)

    def show(self, path: str, html: str) -> None:
        """Put what a path of this origin answers in the place of what is there, scripts and styles loaded. What was brought stays, and stays
        compiled: going there costs three times as much.
        """
        self.page.evaluate(WRITE, [path, html])

    def check(self) -> None:
        """Nothing foreign asked, nothing broken in the console, and nothing that axe-core objects to (WCAG 2.2 AA)."""
        assert not self.foreign, self.foreign
        assert not self.errors, self.errors
        if not self.page.evaluate("typeof axe === 'object'"):
            self.page.evaluate(AXE_SCRIPT)
        violations = self.page.evaluate("rules => axe.run(rules).then(results => results.violations)", RULES)
        found = [
            f"{violation['id']} ({violation['impact']}): {violation['help']}: "
            + "; ".join(node["html"][:160] for node in violation["nodes"])
            for violation in violations
        ]
        assert not found, f"{self.page.url}\n" + "\n".join(found)

    def check_width(self) -> None:
        """Nothing has to be scrolled sideways, once the page that is coming has come."""
        self.page.wait_for_load_state()
        overflow = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{self.page.url} is {overflow} pixels too wide"

    def _said(self, message: ConsoleMessage) -> None:
        # Chromium writes an error for every page that answers 4xx, as a wrong password rightly does; a missing image or style stays a fault.
        if message.type == "error" and message.location["url"] not in self._documents:
            self.errors.append(f"{message.text} {message.location['url']}")

    def _asked(self, request: Request) -> None:
        if request.is_navigation_request():
            self._documents.add(request.url)
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and f"{parts.scheme}://{parts.netloc}" not in self.allowed:
            self.foreign.append(request.url)
