"""`vestibule factor`, `pass` and `admin`: second factors and administrators as operators see them."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from idp.clock import SystemClock
from idp.config import load
from idp.store.base import Factor, Session
from idp.store.database import Database, Transaction
from tests.support.operator import ACTOR, Operator
from tests.support.pens import pens_of

PASS = re.compile(r"([0-9A-HJKMNP-TV-Z]{5}-){2}[0-9A-HJKMNP-TV-Z]{5}")
CLOCK = SystemClock()


@pytest.fixture
def operator(operator: Operator) -> Operator:
    """An operator whose establishment has Claire and Rose."""
    for name, family in (("claire", "Dubois"), ("rose", "Marchand")):
        place = ("--establishment", "tilleuls", "--profile", "nurse")
        operator.do("account", "add", "--username", name, "--given-name", name.title(), "--family-name", family, *place)
    return operator


@contextmanager
def arranging(operator: Operator) -> Iterator[Transaction]:
    """A write transaction, to arrange what no command can."""
    config = load(operator.config_path)
    database = Database.of(config.database, pool_size=2, pens=pens_of(config))
    try:
        with database.write() as tx:
            yield tx
    finally:
        database.close()


def account_id(operator: Operator, who: str) -> str:
    return str(operator.ask("account", "show", who)["id"])


def add_factor(tx: Transaction, account: str, kind: str = "totp", *, label: str = "Mon téléphone") -> str:
    """A factor as if the person had enrolled it."""
    nothing = dict.fromkeys(
        ("credential_digest", "credential_id", "public_key", "sign_count", "transports", "is_synced", "aaguid", "ended_at")
    )
    factor = Factor(
        id=CLOCK.new_id(),
        account_id=account,
        kind=kind,  # type: ignore[arg-type]  # the tests name kinds that exist
        label=label,
        hint="06 ** ** ** 42" if kind == "sms" else "",
        sealed=b"sealed",
        last_step=1,
        enrolled_zone="tilleuls/lan",
        last_used_at=None,
        created_at=CLOCK.now(),
        **nothing,  # type: ignore[arg-type]  # None all of them
    )
    assert tx.factors.add(factor)
    return factor.id


def open_session(tx: Transaction, account: str, place: str) -> str:
    """A Session of the person."""
    now = CLOCK.now()
    session = Session(
        id=CLOCK.new_id(),
        cookie_digest=CLOCK.new_token(),
        account_id=account,
        establishment_id=place,
        auth_time=now,
        amr=("pwd", "otp", "mfa"),
        acr="urn:vestibule:acr:mfa",
        connector="local",
        zone="outside",
        device_id=None,
        address="198.51.100.7",
        user_agent="",
        created_at=now,
        last_active_at=now,
        expires_at=now + timedelta(hours=1),
        ended_at=None,
        ended_cause=None,
    )
    tx.sessions.add(session)
    return session.id


def test_operator_lists_factors_without_any_secret(operator: Operator) -> None:
    claire = account_id(operator, "claire")
    with arranging(operator) as tx:
        add_factor(tx, claire)
        add_factor(tx, claire, "sms", label="")
    shown = operator.do("factor", "list", "claire")
    assert "Mon téléphone" in shown
    assert "06 ** ** ** 42" in shown
    assert "tilleuls/lan" in shown
    listed = operator.ask("factor", "list", "claire", "--json")
    assert [one["kind"] for one in listed["factors"]] == ["totp", "sms"]
    assert "sealed" not in str(listed)
    assert "no account" in operator.refused("factor", "list", "personne")


def test_operator_resets_factors_and_everything_the_person_had_open_ends(operator: Operator) -> None:
    claire = account_id(operator, "claire")
    with arranging(operator) as tx:
        place = tx.establishments.by_slug("tilleuls")
        assert place is not None
        first, second = add_factor(tx, claire), add_factor(tx, claire, "passkey")
        session = open_session(tx, claire, place.id)
        tx.recovery_codes.replace(claire, ("d" * 43, "e" * 43), CLOCK.now())
    operator.do("pass", "issue", "claire", "--for", "enrol")
    assert "totp, passkey ended, 1 sessions" in operator.do("factor", "reset", "claire", "--reason", "téléphone perdu, ticket 4521")
    with operator.looking() as tx:
        assert tx.factors.open_of(claire) == ()
        assert tx.recovery_codes.left(claire) == 0
        assert tx.passes.open_of(claire, CLOCK.now()) == ()
        ended = tx.sessions.get(session)
    assert ended is not None
    assert ended.ended_cause == "factors_taken_away"
    assert {first, second}.isdisjoint(str(operator.ask("factor", "list", "claire", "--json")))
    event = operator.last_event("factors.reset")
    assert event["actor"] == ACTOR
    assert event["details"]["why"] == "téléphone perdu, ticket 4521"
    assert (event["details"]["kinds"], event["details"]["sessions"], event["details"]["recovery_codes"]) == ("totp passkey", 1, 2)
    assert "has no second factor" in operator.refused("factor", "reset", "claire", "--reason", "encore")


def test_operator_resets_one_kind_and_the_codes_stay(operator: Operator) -> None:
    claire = account_id(operator, "claire")
    with arranging(operator) as tx:
        add_factor(tx, claire)
        add_factor(tx, claire, "sms")
        tx.recovery_codes.replace(claire, ("d" * 43,), CLOCK.now())
    operator.do("factor", "reset", "claire", "--kind", "sms", "--reason", "numéro changé")
    with operator.looking() as tx:
        assert [one.kind for one in tx.factors.open_of(claire)] == ["totp"]
        assert tx.recovery_codes.left(claire) == 1
    assert operator.run("factor", "reset", "claire").exit_code == 2  # a reason is needed
    assert "say why" in operator.refused("factor", "reset", "claire", "--reason", " ")


def test_operator_unblocks_second_factors(operator: Operator) -> None:
    assert "Claire Dubois may try again" in operator.do("factor", "unblock", "claire")
    assert operator.last_event("factors.unblocked")["account_id"] == account_id(operator, "claire")


def test_operator_sees_who_has_no_factor_yet(operator: Operator) -> None:
    rose = account_id(operator, "rose")
    operator.do("account", "add", "--username", "ailleurs", "--establishment", "glycines", "--profile", "aide", "--family-name", "+Léger")
    operator.do("account", "add", "--username", "nulle-part")
    operator.do("account", "add", "--username", "demo", "--establishment", "tilleuls", "--profile", "aide", "--demo")
    operator.do("break-glass", "seal", "secours", "--establishment", "tilleuls", "--profile", "it")
    operator.do("account", "add", "--username", "parti", "--establishment", "tilleuls", "--profile", "aide")
    operator.do("account", "suspend", "parti")
    with arranging(operator) as tx:
        add_factor(tx, account_id(operator, "claire"))
        tx.people.change(rose, CLOCK.now(), grace_began_at=CLOCK.now())
    found = operator.ask("factor", "missing", "--json")
    assert [one["username"] for one in found] == ["demo", "ailleurs", "rose"]
    assert found[2]["establishment"] == "tilleuls"
    assert (found[2]["profile"], found[2]["sign_ins_outside"], found[2]["grace_ends_at"]) == ("nurse", 0, None)
    assert [one["username"] for one in operator.ask("factor", "missing", "--establishment", "tilleuls", "--json")] == ["demo", "rose"]
    rows = list(csv.DictReader(io.StringIO(operator.do("factor", "missing", "--csv"))))
    assert [row["username"] for row in rows] == ["demo", "ailleurs", "rose"]
    assert rows[1]["name"] == "'+Léger"
    assert "Rose Marchand" in operator.do("factor", "missing")
    assert "no establishment" in operator.refused("factor", "missing", "--establishment", "nulle-part")


def test_operator_sees_when_grace_ends_and_who_signs_in_from_outside(operator: Operator) -> None:
    from sqlalchemy import text

    from idp.audit import Event, EventType, Origin

    rose = account_id(operator, "rose")
    began = CLOCK.now()
    with arranging(operator) as tx:
        tx.connection.execute(text("UPDATE establishments SET enrolment_grace_days = 30 WHERE slug = 'tilleuls'"))
        tx.people.change(rose, began, grace_began_at=began)
        for zone in ("outside", "outside", "trusted"):
            origin = Origin(request_id="0123456789", address="198.51.100.7", zone_kind=zone)
            tx.events.append(Event(type=EventType.SIGNIN_SUCCEEDED, at=began, actor=f"account:{rose}", origin=origin, account_id=rose))
    (found,) = (one for one in operator.ask("factor", "missing", "--json") if one["username"] == "rose")
    assert found["sign_ins_outside"] == 2
    assert found["last_sign_in"][:19] == began.isoformat()[:19]
    assert found["grace_ends_at"][:19] == (began + timedelta(days=30)).isoformat()[:19]


@pytest.mark.parametrize(("option", "purpose"), [("enrol", "enrol"), ("sign-in", "sign_in")])
def test_operator_issues_a_pass_which_is_shown_once(operator: Operator, option: str, purpose: str) -> None:
    result = operator.run("pass", "issue", "claire", "--for", option, "--hours", "2")
    assert result.exit_code == 0, result.output
    code = result.stdout.strip()
    assert PASS.fullmatch(code)
    (kept,) = operator.ask("factor", "list", "claire", "--json")["passes"]
    assert (kept["purpose"], kept["issued_by"]) == (purpose, ACTOR)
    event = operator.last_event("pass.issued")
    assert (event["actor"], event["details"]["purpose"]) == (ACTOR, purpose)
    assert code not in str(operator.events())
    assert code.replace("-", "") not in str(operator.events())


def test_operator_issues_no_pass_to_whom_it_would_not_help(operator: Operator) -> None:
    operator.do("account", "suspend", "rose")
    assert "suspended" in operator.refused("pass", "issue", "rose", "--for", "enrol")
    operator.do("break-glass", "seal", "secours", "--establishment", "tilleuls", "--profile", "it")
    assert "break-glass" in operator.refused("pass", "issue", "secours", "--for", "sign-in")


def test_operator_makes_the_first_administrator_once(operator: Operator) -> None:
    result = operator.run("admin", "bootstrap", "claire")
    assert result.exit_code == 0, result.output
    assert PASS.fullmatch(result.stdout.strip())
    claire = account_id(operator, "claire")
    assert operator.last_event("role.given")["details"] == {"role": "group_administrator"}
    assert operator.last_event("role.given")["account_id"] == claire
    assert operator.last_event("pass.issued")["account_id"] == claire
    assert "administers the group already" in operator.refused("admin", "bootstrap", "rose")
    assert "administers the group already" in operator.refused("admin", "bootstrap", "claire")
    (line,) = operator.ask("admin", "list", "--json")
    assert (line["username"], line["role"], line["establishment"], line["given_by"], line["factors"]) == (
        "claire",
        "group_administrator",
        None,
        ACTOR,
        0,
    )


def test_an_administrator_who_left_does_not_bar_the_next_bootstrap(operator: Operator) -> None:
    operator.do("admin", "bootstrap", "claire")
    operator.do("account", "end", "claire", "--yes")
    assert operator.ask("admin", "list", "--json") == []
    assert PASS.fullmatch(operator.do("admin", "bootstrap", "rose").strip())


def test_operator_gives_and_takes_roles(operator: Operator) -> None:
    operator.do("admin", "bootstrap", "claire")
    assert "pass issue" in operator.run("admin", "give", "rose", "it_contact", "--establishment", "tilleuls").stderr
    assert "Rose Marchand" in operator.do("admin", "list")
    assert "already" in operator.refused("admin", "give", "rose", "it_contact", "--establishment", "tilleuls")
    assert "name it" in operator.refused("admin", "give", "rose", "it_contact")
    assert "whole group" in operator.refused("admin", "give", "rose", "group_administrator", "--establishment", "tilleuls")
    assert "no establishment" in operator.refused("admin", "give", "rose", "it_contact", "--establishment", "nulle-part")
    assert "no such role" in operator.refused("admin", "take", "rose", "group_administrator")
    operator.do("admin", "take", "rose")
    assert operator.last_event("role.taken")["account_id"] == account_id(operator, "rose")
    assert "last" in operator.refused("admin", "take", "claire")
    assert [line["username"] for line in operator.ask("admin", "list", "--json")] == ["claire"]
    operator.do("admin", "give", "rose", "group_administrator")
    operator.do("admin", "take", "claire")
    assert [line["username"] for line in operator.ask("admin", "list", "--json")] == ["rose"]


def test_operator_makes_no_administrator_of_somebody_unfit(operator: Operator) -> None:
    operator.do("account", "suspend", "rose")
    operator.do("account", "add", "--username", "demo", "--demo")
    operator.do("break-glass", "seal", "secours", "--establishment", "tilleuls", "--profile", "it")
    for who in ("rose", "demo", "secours"):
        assert "cannot administer" in operator.refused("admin", "bootstrap", who)
    assert operator.events("role.") == []
    assert operator.events("pass.") == []
