"""What every page shares: rendering, the two cookies, who is there, where the request came from, and the way back to a client.

Owns nothing of a sign-in: handlers ask the rooms and hand the outcome here. The only module besides pages.py that touches Flask's session. A browser
is known by a random secret in the signed cookie; a signed-in person by an opaque token in the other.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

import structlog
from flask import Response, g, make_response, render_template, request, session

from idp.audit import Origin, Reason
from idp.errors import StoreUnavailable
from idp.oauth.message import AuthorizationResponse
from idp.signin.devices import Issued, read_secrets, write_secrets
from idp.signin.ground import Visitor
from idp.signin.home_realm import Bystander
from idp.signin.interaction import Interaction
from idp.signin.presence import Presence
from idp.signin.session import Written
from idp.signin.workstations import Recognised
from idp.store.base import Establishment, Session
from idp.web.language import Languages
from idp.web.rooms import Rooms
from policies.zones import ZoneKind

HERE = Path(__file__).parent
ENDED_BY_TIME = frozenset({Reason.IDLE, Reason.ABSOLUTE_LIMIT})
WORKSTATION_COOKIE_LIFE = timedelta(days=400)  # the longest that browsers keep one (RFC 6265bis section 5.5)
DEVICE_COOKIE_LIFE = timedelta(days=400)

log = structlog.get_logger(__name__)


class Pages:
    """Bound to the rooms; one per process. Its methods work within a request."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self.languages = Languages(HERE / "translations", rooms.config.pages.default_language)
        prefix = "__Host-" if rooms.config.uses_https else ""
        self.session_cookie = f"{prefix}vestibule-session"
        self.browser_cookie = f"{prefix}vestibule-browser"
        self.workstation_cookie = f"{prefix}vestibule-workstation"
        self.device_cookie = f"{prefix}vestibule-device"
        self.static_version = _version(HERE / "static")

    # Who is there

    def origin(self) -> Origin:
        """Where this request came from; the same value all along the request."""
        return self.rooms.origins.read(request.environ)

    def browser_secret(self) -> str:
        """The secret that ties Interactions to this browser, made on demand."""
        if "browser" not in session:
            session.permanent = True
            session["browser"] = self.rooms.clock.new_token()
        return str(session["browser"])

    def known_browser(self) -> str | None:
        """The browser's secret, or None when it did not bring one: a first visit, or cookies are blocked."""
        return session.get("browser")

    def read_session(self) -> Presence:
        """The live Session of this browser, or why there is none; read once a request. StoreUnavailable when it cannot be known."""
        if "presence" not in g:
            g.presence = self.rooms.signin.presences.read(request.cookies.get(self.session_cookie), self.origin())
        return cast(Presence, g.presence)

    def workstation(self) -> Recognised:
        """The enrolled machine that this browser is on, if any; looked at once a request. StoreUnavailable when it cannot be known.

        Whoever asks need do no more: keep_workstation hands the browser its next secret with the answer.
        """
        if "workstation" not in g:
            g.workstation = self.rooms.workstations.recognise(request.cookies.get(self.workstation_cookie), self.origin())
        return cast(Recognised, g.workstation)

    def visitor(self) -> Visitor:
        """Who comes, with what this browser brings along; nothing of it is believed here."""
        machine = self.workstation()
        return Visitor(
            self.origin(), read_secrets(request.cookies.get(self.device_cookie)), machine.facts, is_on_shared=machine.is_on_shared
        )

    def keep(self, response: Response, written: Written) -> Response:
        """What the end of a sign-in changed in the browser: its Session and its Device."""
        if written.cookie is not None:
            session.pop("handed_over", None)  # somebody has proven who they are
            session.pop("left", None)
            self.set_session_cookie(response, written.cookie)
        if written.device is not None:
            self._set_device_cookie(response, written.device)
        return response

    def _set_device_cookie(self, response: Response, issued: Issued) -> None:
        value = write_secrets(read_secrets(request.cookies.get(self.device_cookie)), issued)
        response.set_cookie(
            self.device_cookie,
            value,
            max_age=DEVICE_COOKIE_LIFE,
            path="/",
            secure=self.rooms.config.uses_https,
            httponly=True,
            samesite="Lax",
        )

    def keep_workstation(self, response: Response) -> Response:
        """After each request: what `workstation` learned, as a cookie."""
        found: Recognised | None = g.get("workstation")
        if found is not None and found.cookie is not None:
            # It stays when the browser closes.
            response.set_cookie(
                self.workstation_cookie,
                found.cookie,
                max_age=WORKSTATION_COOKIE_LIFE,
                path="/",
                secure=self.rooms.config.uses_https,
                httponly=True,
                samesite="Lax",
            )
        elif found is not None and found.is_over:
            response.delete_cookie(self.workstation_cookie, path="/", secure=self.rooms.config.uses_https, httponly=True, samesite="Lax")
        return response

    def enrol_workstation(self, cookie: str) -> None:
        """Make this browser's machine known, with the answer to this request."""
        g.workstation = Recognised(cookie=cookie)

    def set_session_cookie(self, response: Response, token: str) -> None:
        """Sign this browser in. Without Max-Age: the cookie goes with the browser, the Session's limits are ours."""
        response.set_cookie(self.session_cookie, token, path="/", secure=self.rooms.config.uses_https, httponly=True, samesite="Lax")

    def clear_session_cookie(self, response: Response) -> None:
        """Take the Session's cookie back."""
        response.delete_cookie(self.session_cookie, path="/", secure=self.rooms.config.uses_https, httponly=True, samesite="Lax")

    def sign_out(self, signed_in: Session, client_id: str | None = None) -> None:
        """End this browser's Session, and whatever waits half way on its other pages."""
        self.rooms.signin.presences.sign_out(signed_in, self.origin(), client_id=client_id)
        self._forget_proofs()

    def change_person(self, signed_in: Session | None) -> None:
        """The next person takes over this browser: the former's Session ends with its applications, and nobody is suggested or let in by itself.

        The cookie stays until the next sign-in page, which says from it what has happened.
        """
        if signed_in is not None:
            self.rooms.signin.presences.change_person(signed_in, self.origin())
        session["handed_over"] = True
        self._forget_proofs()

    def lock(self, signed_in: Session) -> None:
        """Lock this browser's Session; what was proven half way on other pages is worth nothing any more."""
        self.rooms.signin.presences.lock(signed_in, self.origin())
        self._forget_proofs()

    def is_shared_use(self) -> bool:
        """Whether people follow one another at this browser, as far as the address, the machine, its Session or a change of person says.

        Then nobody is suggested, nothing is offered to be remembered, and every sign-in is made by hand.
        """
        machine, present = self.workstation(), self.read_session().session
        return (
            self.origin().zone_kind == ZoneKind.SHARED_WORKSTATION
            or machine.is_on_shared
            or (present is not None and present.is_shared)
            or bool(session.get("handed_over"))
        )

    def sign_outs(self) -> int:
        """How often somebody has signed out, or locked their Session, in this browser."""
        return int(session.get("sign_outs", 0))

    def _forget_proofs(self) -> None:
        session["sign_outs"] = self.sign_outs() + 1
        session["left"] = True

    def take_over(self, moved: Interaction) -> Interaction:
        """Somebody has shown who they are. When a shared or locked Session is another person's, that one ends first, with its applications."""
        former = self.read_session().session
        if former is None or moved.proof is None or moved.proof.account_id == former.account_id:
            return moved
        if not (former.is_locked or self.is_shared_use()):
            return moved
        self.change_person(former)
        return self.rooms.signin.answers.go_on(moved, sign_outs=self.sign_outs())

    def must_act(self) -> bool:
        """Whether the next sign-in here must be made by hand: somebody has signed out, or locked, or people follow one another at this browser.

        No session that another program still has of somebody (a provider's, Windows') may answer for them; nor where their own was ended by
        anything but time.
        """
        ended = self.read_session().ended
        if ended is not None and ended not in ENDED_BY_TIME:
            session["left"] = True
        return bool(session.get("left")) or self.is_shared_use()

    def bystander(self) -> Bystander:
        """What is known of this browser that no person has said."""
        return Bystander(
            zone=self.origin().zone,
            last_provider=None if self.is_shared_use() else session.get("provider"),
            must_act=self.must_act(),
            language=str(g.get("language") or self.speak()),
        )

    def remember_provider(self, name: str | None) -> None:
        """Offer this provider first next time, or none; on a shared machine nothing is remembered of who was there."""
        if name is None or self.is_shared_use():
            session.pop("provider", None)
        else:
            session["provider"] = name

    def is_navigation(self) -> bool:
        """Whether the browser says that a person's tab is being led here (Fetch Metadata): neither a frame, nor a script, nor a program."""
        return request.headers.get("Sec-Fetch-Dest") == "document"

    def is_looping(self, client_id: str) -> bool:
        """Count this authorization; True when the application sends this browser back again and again. Costs nothing to programs."""
        browser = self.known_browser() if self.is_navigation() else None
        return browser is not None and self.rooms.signin.is_looping(browser, client_id)

    def last_used_slug(self) -> str | None:
        """The establishment last used in this browser."""
        return session.get("place")

    def last_used_establishment(self) -> Establishment | None:
        """The same with its contact, for pages that must be shown even when the store does not answer."""
        slug = self.last_used_slug()
        try:
            return self.rooms.signin.establishment(slug) if slug else None
        except StoreUnavailable as error:
            log.warning("contact_unknown", request_id=self.origin().request_id, detail=error.detail)
            return None

    def remember_establishment(self, establishment: Establishment | None) -> None:
        """Show this establishment first next time (R4)."""
        if establishment is not None:
            session["place"] = establishment.slug

    # Pages

    def speak(self, interaction: Interaction | None = None) -> str:
        """Settle the language of this request: `lang` in the query is a choice and is kept."""
        asked = request.args.get("lang", "")
        if self.languages.speaks(asked):
            session.permanent = True
            session["lang"] = [asked, self.rooms.clock.now().timestamp()]
        kept = session.get("lang")
        g.language = self.languages.choose(
            chosen=(str(kept[0]), datetime.fromtimestamp(float(kept[1]), UTC)) if kept else None,
            since=interaction.created_at if interaction else None,
            ui_locales=interaction.request.ui_locales if interaction and interaction.request else (),
            accepted=request.accept_languages,
        )
        return str(g.language)

    def zone(self, establishment: Establishment | None) -> ZoneInfo:
        """The time zone that times on a page are told in."""
        return ZoneInfo(establishment.time_zone if establishment else self.rooms.config.pages.time_zone)

    def render(
        self,
        template: str,
        *,
        status: int = 200,
        establishment: Establishment | None = None,
        interaction: Interaction | None = None,
        form_action: str | None = None,
        **context: Any,
    ) -> Response:
        """A page. `interaction` settles language and form-action; `form_action` names a validated redirect URI otherwise."""
        if interaction is not None and interaction.request is not None:
            form_action = interaction.request.redirect_uri
        g.form_action = form_action
        code = self.origin().request_id
        page = render_template(
            template,
            lang=self.speak(interaction),
            establishment=establishment,
            contact=_contact(establishment),
            support_code=f"{code[:5]}-{code[5:]}",
            **context,
        )
        return make_response(page, status)

    def error_page(
        self,
        code: str,
        status: int,
        *,
        retry_url: str | None = None,
        client_name: str | None = None,
        establishment: Establishment | None = None,
    ) -> Response:
        """A page that says plainly what happened and what to do; `code` is one of error.html's. Names a contact when one is known."""
        place = establishment or self.last_used_establishment()
        return self.render("error.html", status=status, establishment=place, code=code, retry_url=retry_url, client_name=client_name)

    def see_other(self, location: str) -> Response:
        """303 to a path of ours or to a validated URI."""
        response = make_response("", 303)
        response.headers["Location"] = location
        return response

    def lead(self, path: str, **query: str) -> Response:
        """303 to a path of ours with a query."""
        return self.see_other(f"{path}?{urlencode(query)}")

    def onward(self, to_url: str, *, interaction: Interaction | None = None, label: str | None = None) -> Response:
        """A page that leads on by itself, where a redirect would be held against the form that began it. `label`: of the provider it leads to."""
        return self.render("onward.html", establishment=None, interaction=interaction, to_url=to_url, label=label)

    # Back to a client

    def send(self, answer: AuthorizationResponse, *, written: Written | None = None) -> Response:
        """The response to an authorization request: a redirect, or a page whose form posts itself (Form Post Response Mode)."""
        if answer.mode == "form_post":
            response = self.render(
                "form_post.html", form_action=answer.redirect_uri, redirect_uri=answer.redirect_uri, parameters=answer.parameters
            )
            # The client may look at the Origin of the post, which a stricter policy would turn into "null".
            response.headers["Referrer-Policy"] = "strict-origin"
        else:
            separator = "&" if urlsplit(answer.redirect_uri).query else "?"
            response = self.see_other(f"{answer.redirect_uri}{separator}{urlencode(answer.parameters)}")
        return response if written is None else self.keep(response, written)


def _contact(establishment: Establishment | None) -> dict[str, str] | None:
    if establishment is None:
        return None
    return {"name": establishment.contact_name, "phone": establishment.contact_phone, "email": establishment.contact_email}


def _version(folder: Path) -> str:
    """Changes when a static file of ours does, so that browsers may keep them long."""
    content = sha256()
    for path in sorted(folder.glob("*.*")):
        content.update(path.read_bytes())
    return content.hexdigest()[:12]
