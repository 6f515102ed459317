"""SCIM over real sockets: a running `vestibule serve` takes a source's word, and the application hears of it from the worker."""

from pathlib import Path

import httpx

from idp.clock import SystemClock
from idp.config import load
from idp.crypto import PasswordHasher
from tests.support.cast import PASSWORD
from tests.support.listener import Listener
from tests.support.live import live_server
from tests.support.scim_source import OTHER_TOKEN, TOKEN, ScimSource, scim_settings
from tests.support.world import open_database


def test_application_is_told_when_a_source_disables_somebody_who_is_signed_in(tmp_path: Path, listener: Listener) -> None:
    settings = {"scim": [scim_settings(tmp_path)], "log_level": "debug"}
    with live_server(tmp_path, listener, settings) as server, httpx.Client(base_url=server.issuer, timeout=20) as client:
        source = ScimSource(client)
        assert ScimSource(client, OTHER_TOKEN).get("/Users").status_code == 401
        person = source.add_user("marie.curie")
        source.add_group("tilleuls-ide", person["id"])
        give_password(server.config_path, person["id"])
        browser, party = server.browser(), server.relying_party("carnet")
        page = browser.sign_in("marie.curie", PASSWORD, page=browser.get(party.begin()))
        assert page.callback is not None, page
        tokens = party.exchange(page.callback)
        assert party.userinfo(tokens.access).status_code == 200
        assert source.disable(person["id"]).status_code == 200
        assert party.userinfo(tokens.access).status_code == 401
        listener.wait(1)
        shown = server.command("scim", "show", "rh", "--user", "Marie.Curie")
        assert "suspended" in shown
        told = server.log.read_text(encoding="utf-8") + server.command("audit", "export")
        assert "scim.changed" in told
        assert not [
            one for one in (TOKEN, OTHER_TOKEN, tokens.access, tokens.refresh, listener.received[0].logout_token) if one and one in told
        ]


def give_password(config_path: Path, user_id: str) -> None:
    """A password of ours for somebody whom the source wrote."""
    clock, database = SystemClock(), open_database(load(config_path))
    with database.write() as tx:
        link = tx.links.get("rh", user_id)
        assert link is not None
        encoded = PasswordHasher(clock, concurrency=1).hash(PASSWORD)
        tx.people.set_password(link.account_id, encoded, must_change=False, now=clock.now())
    database.close()
