"""Takes the pictures of docs/guide-du-contact.md from the demonstration's pages: `.venv/bin/python docs/pictures.py`, some minutes.

Owns the story (Claire has lost her telephone; Nadia, the IT contact, helps; Denis is the second person and the witness; Émilie begins tomorrow),
nothing of the pages.
Every code in a picture is of a demonstration that is gone when the picture is there.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, FloatRect, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from demo.people import PASSWORD
from tests.support.demonstration import Demonstration, demonstration

PICTURES = Path(__file__).parent / "pictures"
CODE = "input[autocomplete=one-time-code]"
NEXT_CODE_MS = 31_000
PATIENCE = 60  # quarters of a second
TALLEST = 760  # pixels: of a long page the beginning says enough
LINES = "section[aria-labelledby=lines-title]"
NADIA, DENIS, CLAIRE = "nadia.ferrand", "denis.aubry", "claire.dubois"


class Visitor:
    """Somebody of the demonstration in a browser of their own."""

    def __init__(self, browser: Browser, demo: Demonstration, who: str) -> None:
        context = browser.new_context(viewport={"width": 820, "height": 640}, locale="fr-FR", color_scheme="light")
        context.set_default_timeout(20_000)
        self.page: Page = context.new_page()
        self.demo = demo
        self.who = who

    def enter(self, path: str) -> None:
        """Sign in on the way to a page."""
        self.page.goto(self.demo.issuer + path)
        self.page.fill("input[name=identifier]", self.who)
        self.page.fill("input[name=password]", PASSWORD)
        self.page.press("input[name=password]", "Enter")
        self.confirm(path)

    def confirm(self, path: str) -> None:
        """Give the code of the telephone until the page is there: one that has served is refused."""
        there = self.demo.issuer + path.partition("?")[0]
        for _ in range(4):
            for _ in range(PATIENCE):
                if self.page.url.startswith(there) or self.page.locator(CODE).count():
                    break
                self.page.wait_for_timeout(250)
            if self.page.url.startswith(there):
                return
            self.page.fill(CODE, self.demo.codes()[self.who])
            self.page.press(CODE, "Enter")
            self.page.wait_for_load_state()
            if self.page.locator(".notice.error").count():
                self.page.wait_for_timeout(NEXT_CODE_MS)
        raise SystemExit(f"{self.who} does not come to {path}: {self.page.url}")

    def open(self, path: str) -> None:
        """Go to a page, proving again if it asks."""
        self.page.goto(self.demo.issuer + path)
        self.confirm(path)

    def press(self, selector: str) -> None:
        """Press a button or a link and wait for what it brings."""
        self.page.click(selector)
        self.page.wait_for_load_state()

    def take(self, name: str, selector: str = "main", *, tallest: int | None = None) -> None:
        """A picture of a part of the page, at most `tallest` pixels high."""
        print(f"  {name}", flush=True)
        self.page.evaluate("scrollTo(0, 0)")
        box = self.page.locator(selector).first.bounding_box()
        if box is None:
            raise SystemExit(f"{selector} is not to be seen on {self.page.url}")
        clip: FloatRect = {"x": box["x"], "y": box["y"], "width": box["width"], "height": min(box["height"], tallest or box["height"])}
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True, clip=clip)


def tell(browser: Browser, demo: Demonstration) -> None:
    """The story, and its pictures."""
    nadia = Visitor(browser, demo, NADIA)
    nadia.enter("/admin")
    nadia.take("console")
    _lock_out(browser, demo)
    nadia.open("/admin/people?q=claire")
    nadia.take("chercher")
    nadia.press("main a:has-text('Claire Dubois')")
    nadia.take("personne", "section[aria-labelledby=stuck-title]")
    person = nadia.page.url.removeprefix(demo.issuer)
    nadia.take("gestes", "section[aria-labelledby=acts-title]")
    nadia.open(f"{person}/reset?kind=factor")
    nadia.page.fill("input[name=why]", "Téléphone perdu")
    nadia.take("demander")
    nadia.press("#reset-ask button[type=submit]")
    reset = nadia.page.url.removeprefix(demo.issuer).partition("?")[0]
    nadia.page.check("#how-in_person")
    nadia.take("reconnaitre", "section[aria-labelledby=prove-title]")
    nadia.press("#prove")

    denis = Visitor(browser, demo, DENIS)
    denis.enter(reset)
    if denis.page.locator("#approve").count():
        denis.open(f"{reset}/approve")
        denis.take("approuver")
        denis.press("#approve")

    nadia.open(reset)
    nadia.page.check("#channel-witness")
    nadia.take("executer", "section[aria-labelledby=carry-title]")
    nadia.press("#carry-out")
    expect(nadia.page.locator(".code.key").first).to_be_visible()
    nadia.take("premier-code")

    claire = Visitor(browser, demo, CLAIRE)
    claire.page.goto(f"{demo.issuer}/reset")
    claire.take("deux-codes")

    nadia.open("/admin/people/new")
    _fill_in(nadia.page)
    nadia.take("nouvelle-personne")
    nadia.press("#new-next")
    nadia.press("#changes-confirm")
    nadia.open(f"{person}/suspend")
    nadia.take("suspendre")
    for path, name in (("/admin/factors", "sans-facteur"), ("/admin/charts", "courbes")):
        nadia.open(path)
        nadia.take(name)
    nadia.open("/admin/audit")
    nadia.take("journal", LINES, tallest=TALLEST)


def _fill_in(page: Page) -> None:
    """Somebody who is in no directory: unlike the people of the demonstration she is counted among those without a factor."""
    typed = {
        "given_name": "Émilie",
        "family_name": "Roux",
        "username": "emilie.roux",
        "email": "emilie.roux@tilleuls.example",
        "sector": "Nuit",
    }
    for name, value in typed.items():
        page.fill(f"input[name={name}]", value)
    page.select_option("select[name=establishment]", "tilleuls")
    page.select_option("select[name=profile]", "aide")


def _lock_out(browser: Browser, demo: Demonstration) -> None:
    """Claire types a wrong password until she must wait."""
    claire = Visitor(browser, demo, CLAIRE)
    claire.page.goto(f"{demo.issuer}/account")
    for number in range(6):
        if not claire.page.locator("input[name=password]").count():
            return
        claire.page.fill("input[name=identifier]", CLAIRE)
        claire.page.fill("input[name=password]", f"pas-le-bon-mot-{number}")
        claire.page.press("input[name=password]", "Enter")
        claire.page.wait_for_load_state()


def main() -> None:
    """Take them all."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, demonstration(Path(folder), python=sys.executable) as demo, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        tell(browser, demo)
        browser.close()


if __name__ == "__main__":
    main()
