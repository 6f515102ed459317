"""Carnet de soins, a fictitious care application: what a relying party of Vestibule looks like, on Authlib's Flask client.

It finds everything in the discovery document, sends PKCE, keeps its sessions on the server so that a back-channel logout can end them,
refreshes its tokens before they expire, asks for a second proof before it opens what is sensitive (`acr_values`, RFC 9470), and signs out everywhere.
One process, sessions in its memory: a demonstration, not a model for storage. OpenID Connect Core 1.0, RP-Initiated Logout 1.0, Back-Channel Logout
1.0. Beside it, on /telephone, the telephone of the demonstration (demo/telephone_page.py), and on /depart the page that makes somebody leave.
"""

import argparse
import json
import logging
import os
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from authlib.integrations.base_client import OAuthError
from authlib.integrations.flask_client import OAuth
from flask import Flask, Response, g, make_response, redirect, render_template, request, session, url_for
from joserfc.errors import JoseError
from requests import RequestException
from werkzeug.serving import make_server
from werkzeug.wrappers import Response as AnyResponse

from demo.departure import Departures
from demo.departure_page import departure_page
from demo.local_sessions import LocalSession, LocalSessions
from demo.logout_token import Refused, read_logout_token
from demo.telephone import Telephone
from demo.telephone_page import telephone_page
from demo.texts import ENGLISH, FRENCH, LEVELS, PROFILES, PROOFS, ZONE_KINDS, ZONE_WHYS, word

SCOPE = "openid profile email establishment establishments"
REFRESH_BEFORE_SECONDS = 60
FOLLOW_EVERY_SECONDS = 10
COOKIE = "carnet-session"
TWO_PROOFS = "urn:vestibule:acr:mfa"
ENOUGH_FOR_THE_RECORD = frozenset({TWO_PROOFS, "phr"})


def create_app(
    issuer: str,
    client_id: str,
    client_secret: str,
    *,
    public_url: str,
    telephone: Telephone | None = None,
    departures: Departures | None = None,
) -> Flask:
    """The application, registered at `issuer`; `public_url` is where browsers find it. `telephone`, `departures`: show the demonstration's."""
    app = Flask("demo", static_folder="static", template_folder="templates")
    app.config.update(
        SECRET_KEY=secrets.token_bytes(32),
        # Cookies do not know ports: a name of our own, so that nothing collides with the identity provider on the same host.
        SESSION_COOKIE_NAME="carnet-visite",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_HTTPONLY=True,
    )
    oauth = OAuth(app)
    provider = oauth.register(
        "vestibule",
        client_id=client_id,
        client_secret=client_secret,
        server_metadata_url=f"{issuer}/.well-known/openid-configuration",
        client_kwargs={"scope": SCOPE, "code_challenge_method": "S256", "timeout": 10},
    )
    sessions = LocalSessions()
    if telephone is not None:
        app.register_blueprint(telephone_page(telephone, public_url))
    if departures is not None:
        app.register_blueprint(departure_page(departures, public_url))

    @app.context_processor
    def _for_every_page() -> dict[str, Any]:
        return {"t": g.t, "language": g.language, "has_telephone": telephone is not None, "has_departures": departures is not None}

    @app.before_request
    def _choose_language() -> None:
        asked = request.args.get("langue") or request.cookies.get("carnet-langue")
        g.language = asked if asked in {"fr", "en"} else request.accept_languages.best_match(["fr", "en"], "fr")
        g.t = FRENCH if g.language == "fr" else ENGLISH

    @app.after_request
    def _protect(response: Response) -> Response:
        if request.args.get("langue") in {"fr", "en"}:
            response.set_cookie("carnet-langue", request.args["langue"], samesite="Lax", httponly=True)
        # Where the sign-out form leads: our own handler, which redirects to the identity provider.
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
            f"frame-ancestors 'none'; form-action 'self' {issuer}"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        if not request.path.startswith("/static/"):
            response.headers["Cache-Control"] = "no-store"
        return response

    @app.get("/")
    def home() -> AnyResponse | str:
        local, ended = sessions.find(request.cookies.get(COOKIE))
        if local is not None and _refresh(provider, sessions, local) is False:
            local, ended = None, "refused"
        if local is None:
            return render_template("welcome.html", ended=g.t.get(f"ended_{ended}") if ended else None)
        page = make_response(render_template("notebook.html", **_shown(local, issuer)))
        if "suivi" in request.args:
            page.headers["Refresh"] = str(FOLLOW_EVERY_SECONDS)
        return page

    @app.get("/vivant")
    def is_alive() -> Response:
        """What the page asks by itself: 204 while the session is open, 401 when it is not."""
        return Response(status=204 if sessions.find(request.cookies.get(COOKIE))[0] is not None else 401)

    @app.get("/connexion")
    def sign_in() -> Any:
        hints = {"ui_locales": g.language}
        if place := request.args.get("etablissement"):
            hints["establishment"] = place
        session.pop("wants", None)
        return provider.authorize_redirect(f"{public_url}{url_for('callback')}", **hints)

    @app.get("/dossier")
    def record() -> Any:
        """The sensitive record. What was proven is enough, or more is asked: the identity provider knows how."""
        local, _ = sessions.find(request.cookies.get(COOKIE))
        if local is None:
            return redirect(url_for("home"), 303)
        if local.claims.get("acr") in ENOUGH_FOR_THE_RECORD:
            return render_template("record.html", **_shown(local, issuer))
        if "refus" in request.args:
            return render_template("closed.html", factors_url=f"{issuer}/account/factors")
        session["wants"] = "record"
        hints = {"ui_locales": g.language, "acr_values": TWO_PROOFS}
        if place := (local.claims.get("establishment") or {}).get("slug"):
            hints["establishment"] = place
        return provider.authorize_redirect(f"{public_url}{url_for('callback')}", **hints)

    @app.get("/retour")
    def callback() -> AnyResponse:
        try:
            token = provider.authorize_access_token()
            # The ID token says who and where; the name and the address are at userinfo (OpenID Connect Core section 5.4).
            claims = {**provider.userinfo(token=token), **token["userinfo"]}
        except (OAuthError, JoseError) as error:
            app.logger.warning("sign-in refused: %s", error)
            if session.pop("wants", None) and sessions.find(request.cookies.get(COOKIE))[0]:
                return redirect(url_for("record", refus=1), 303)
            return make_response(render_template("refused.html", error=error), 400)
        wants_record = session.get("wants") == "record"
        session.clear()
        sessions.end(request.cookies.get(COOKIE))
        key = sessions.open(claims, token, now=time.time())
        # The level was a wish: the person may have declined, and what came back says so.
        is_declined = wants_record and claims.get("acr") not in ENOUGH_FOR_THE_RECORD
        response = redirect(url_for("record", refus=1 if is_declined else None) if wants_record else url_for("home"), 303)
        response.set_cookie(COOKIE, key, httponly=True, samesite="Lax")
        return response

    @app.post("/deconnexion")
    def sign_out() -> AnyResponse:
        local = sessions.end(request.cookies.get(COOKIE))
        if local is None:
            return redirect(url_for("home"), 303)
        query = {"id_token_hint": local.id_token, "post_logout_redirect_uri": f"{public_url}{url_for('goodbye')}", "ui_locales": g.language}
        response = redirect(f"{provider.load_server_metadata()['end_session_endpoint']}?{urlencode(query)}", 303)
        response.delete_cookie(COOKIE)
        return response

    @app.get("/au-revoir")
    def goodbye() -> str:
        return render_template("welcome.html", ended=g.t["signed_out"])

    @app.post("/deconnexion-silencieuse")
    def backchannel_logout() -> AnyResponse:
        """Back-Channel Logout 1.0 section 2.5: the identity provider says that a session has ended."""
        try:
            claims = read_logout_token(
                request.form.get("logout_token", ""), issuer=issuer, client_id=client_id, keys=provider.fetch_jwk_set(force=True)
            )
            if not sessions.spend(claims["jti"], until=float(claims["exp"]), now=time.time()):
                raise Refused("this logout token was used before")
        except Refused as refused:
            app.logger.warning("logout token refused: %s", refused)
            return make_response({"error": "invalid_request", "error_description": str(refused)}, 400)
        count = sessions.end_all(sid=claims.get("sid"), sub=claims.get("sub"))
        app.logger.info("back-channel logout: %d local session(s) ended", count)
        return make_response("", 200)

    @app.get("/sante")
    def health() -> AnyResponse:
        return make_response({"status": "ok"})

    return app


def _refresh(provider: Any, sessions: LocalSessions, local: LocalSession) -> bool | None:
    """New tokens when the present ones are about to expire. None: not needed, or not now; False: the session is over there."""
    if local.expires_at - time.time() > REFRESH_BEFORE_SECONDS or not local.refresh_token:
        return None
    try:
        metadata = provider.load_server_metadata()
        with provider._get_oauth_client(**metadata) as client:
            token = client.refresh_token(metadata["token_endpoint"], refresh_token=local.refresh_token)
    except OAuthError as error:
        logging.getLogger("demo").warning("refresh refused: %s", error)
        sessions.end(local.key)
        return False
    except RequestException as error:
        # The identity provider is out of reach: what was given stays good until it expires.
        logging.getLogger("demo").warning("refresh failed: %s", error)
        return None
    sessions.renew(local.key, token, now=time.time())
    return True


def _shown(local: LocalSession, issuer: str) -> dict[str, Any]:
    claims = local.claims
    place = claims.get("establishment") or {}
    zone = ZoneInfo(claims.get("zoneinfo", "Europe/Paris"))
    kind = claims.get("zone_kind", "outside")
    return {
        "name": claims.get("name") or claims["sub"],
        "place": place,
        "roles": [word(PROFILES, role, g.language) for role in claims.get("roles", ())],
        "sector": claims.get("sector"),
        "attachments": [
            (entry["establishment"].get("name"), word(PROFILES, entry["profile"], g.language), entry.get("sector"))
            for entry in claims.get("attachments", ())
        ],
        "proofs": [word(PROOFS, means, g.language) for means in claims.get("amr", ()) if means in PROOFS],
        "level": word(LEVELS, claims["acr"], g.language) if "acr" in claims else None,
        "has_two": claims.get("acr") in ENOUGH_FOR_THE_RECORD,
        "is_inside": kind in {"trusted", "shared_workstation"},
        "zone": word(ZONE_KINDS, kind, g.language),
        "zone_name": claims.get("zone") if kind != "outside" else None,
        "zone_why": word(ZONE_WHYS, claims.get("zone_why", ""), g.language),
        "signed_in_at": datetime.fromtimestamp(claims["auth_time"], UTC)
        .astimezone(zone)
        .strftime("%H:%M" if g.language == "en" else "%H h %M")
        if "auth_time" in claims  # behind a provider that does not say when the person was there, there is none
        else None,
        "left": _duration(local.expires_at - time.time(), g.t["duration"]),
        "renewals": local.renewals,
        "is_followed": "suivi" in request.args,
        "account_url": f"{issuer}/account",
        "raw": json.dumps(claims, ensure_ascii=False, indent=2, sort_keys=True),
    }


def _duration(seconds: float, pattern: str) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return pattern.format(minutes=minutes, seconds=rest)


def main() -> None:
    """Serve until stopped. The client secret comes by the environment, never on the command line."""
    parser = argparse.ArgumentParser(prog="python -m demo.care_app")
    parser.add_argument("--issuer", required=True)
    parser.add_argument("--client-id", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--telephone", type=Path, metavar="FOLDER", help="show the telephone of the demonstration whose data are there")
    parser.add_argument("--config", type=Path, metavar="FILE", help="show the page that makes somebody of this Vestibule leave")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="carnet: %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    app = create_app(
        options.issuer,
        options.client_id,
        os.environ["CARNET_CLIENT_SECRET"],
        public_url=f"http://localhost:{options.port}",
        telephone=Telephone(options.telephone) if options.telephone else None,
        departures=Departures(options.config) if options.config else None,
    )
    with make_server("127.0.0.1", options.port, app, threaded=True) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
