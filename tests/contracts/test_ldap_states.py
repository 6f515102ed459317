"""Disabled, locked, expired, must change: told apart on a real OpenLDAP, at sign-in and when only looked up (connectors.ldap.state)."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.base import ChangeRequired, CredentialsRefused, PersonNotUsable, SourceMisbehaved, SourceUnreachable, State
from connectors.ldap.directory import LdapDirectory
from connectors.ldap.state import Policy, read_policy, state_of
from connectors.ldap.wire import Entry
from tests.support.fixed_clock import FixedClock
from tests.support.processes import wait_until
from tests.support.slapd import PASSWORD, SERVICE, SERVICE_PASSWORD, SUFFIX, Slapd

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
WRONG = "wrong-Password-1"
NEW = "Nouveau-Sentier-73-Bruyere"


@pytest.fixture
def directory(slapd: Slapd) -> Iterator[LdapDirectory]:
    directory = slapd.directory()
    yield directory
    directory.close()


def barred(directory: LdapDirectory, password: str) -> tuple[State, bool]:
    with pytest.raises(PersonNotUsable) as caught:
        directory.authenticate("d.claire", password)
    return caught.value.state, caught.value.is_proven


def found(directory: LdapDirectory, slapd: Slapd) -> State:
    identity = directory.find(slapd.subject("d.claire"))
    assert identity is not None
    return identity.state


def days_since_1970(offset: int) -> str:
    return str((datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days + offset)


def stamp(offset: timedelta) -> str:
    return f"{datetime.now(UTC) + offset:%Y%m%d%H%M%SZ}"


@pytest.mark.parametrize(
    ("prepare", "state"),
    [
        (lambda slapd: slapd.disable("d.claire"), State.DISABLED),
        (lambda slapd: slapd.lock("d.claire"), State.LOCKED),
        (lambda slapd: slapd.modify(slapd.dn("d.claire"), {"pwdEndTime": stamp(timedelta(days=-1))}), State.EXPIRED),
        (lambda slapd: slapd.modify(slapd.dn("d.claire"), {"pwdStartTime": stamp(timedelta(days=1))}), State.DISABLED),
    ],
)
def test_person_is_barred_whatever_the_password_when_the_server_bars(
    directory: LdapDirectory, slapd: Slapd, prepare: Callable[[Slapd], None], state: State
) -> None:
    prepare(slapd)
    assert barred(directory, PASSWORD) == (state, False), "the server does not look at the password"
    assert barred(directory, WRONG) == (state, False)
    assert found(directory, slapd) is state


def test_person_past_shadow_expire_is_barred_by_us_and_told_only_with_the_password(directory: LdapDirectory, slapd: Slapd) -> None:
    slapd.modify(slapd.dn("d.claire"), {"shadowExpire": days_since_1970(1)})
    assert directory.authenticate("d.claire", PASSWORD).state is State.USABLE
    slapd.modify(slapd.dn("d.claire"), {"shadowExpire": days_since_1970(0)})
    assert barred(directory, PASSWORD) == (State.EXPIRED, True)
    assert found(directory, slapd) is State.EXPIRED
    with pytest.raises(CredentialsRefused):
        directory.authenticate("d.claire", WRONG)


def test_person_must_change_after_a_reset_and_is_told_only_with_the_password(directory: LdapDirectory, slapd: Slapd) -> None:
    slapd.must_change("d.claire")
    with pytest.raises(ChangeRequired) as caught:
        directory.authenticate("d.claire", PASSWORD)
    identity = caught.value.identity
    assert (identity.state, identity.amr, identity.subject) == (State.MUST_CHANGE, ("pwd",), slapd.subject("d.claire"))
    assert "tilleuls-infirmiers" in identity.groups
    with pytest.raises(CredentialsRefused):
        directory.authenticate("d.claire", WRONG)
    assert found(directory, slapd) is State.MUST_CHANGE


def test_person_need_not_change_after_a_reset_when_the_policy_does_not_ask(directory: LdapDirectory, slapd: Slapd) -> None:
    slapd.set_policy(pwdMustChange="FALSE")
    slapd.must_change("d.claire")
    assert directory.authenticate("d.claire", PASSWORD).state is State.USABLE
    assert found(directory, slapd) is State.USABLE


def _expire(directory: LdapDirectory, slapd: Slapd, **policy: str) -> None:
    """Claire changes her password, and it gets too old."""
    directory.change_password(slapd.subject("d.claire"), PASSWORD, new=NEW)
    slapd.set_policy(pwdMaxAge="1", **policy)
    wait_until(lambda: not slapd.can_bind(slapd.dn("d.claire"), NEW) or "pwdGraceAuthNLimit" in policy, seconds=60)


def test_person_must_change_when_the_password_has_expired(directory: LdapDirectory, slapd: Slapd) -> None:
    _expire(directory, slapd)
    with pytest.raises(ChangeRequired):
        directory.authenticate("d.claire", NEW)
    with pytest.raises(CredentialsRefused):
        directory.authenticate("d.claire", WRONG)
    later = slapd.directory(FixedClock(datetime.now(UTC) + timedelta(minutes=5)))
    assert found(later, slapd) is State.MUST_CHANGE
    later.close()


def test_person_who_binds_by_grace_must_change(directory: LdapDirectory, slapd: Slapd) -> None:
    _expire(directory, slapd)
    slapd.set_policy(pwdGraceAuthNLimit="3")
    with pytest.raises(ChangeRequired):
        directory.authenticate("d.claire", NEW)


def test_lock_passes_by_itself_when_the_policy_says_how_long(directory: LdapDirectory, slapd: Slapd) -> None:
    slapd.set_policy(pwdLockoutDuration="600")
    slapd.lock("d.claire")
    assert found(directory, slapd) is State.LOCKED
    later = slapd.directory(FixedClock(datetime.now(UTC) + timedelta(minutes=11)))
    assert found(later, slapd) is State.USABLE, "the attribute stays, the lock does not"
    later.close()
    unknowing = slapd.directory(FixedClock(datetime.now(UTC) + timedelta(minutes=11)), password_policy=None)
    assert found(unknowing, slapd) is State.LOCKED, "without the policy a lock is believed"
    unknowing.close()


def test_bind_is_believed_when_a_lock_has_passed(slapd: Slapd) -> None:
    slapd.set_policy(pwdLockoutDuration="1")
    slapd.lock("d.claire")
    wait_until(lambda: slapd.can_bind(slapd.dn("d.claire"), PASSWORD), seconds=60)
    directory = slapd.directory(password_policy=None)
    assert directory.authenticate("d.claire", PASSWORD).state is State.USABLE
    directory.close()


def test_person_enabled_again_signs_in(directory: LdapDirectory, slapd: Slapd) -> None:
    slapd.disable("d.claire")
    assert found(directory, slapd) is State.DISABLED
    slapd.enable("d.claire")
    assert directory.authenticate("d.claire", PASSWORD).state is State.USABLE


@pytest.mark.parametrize(
    ("prepare", "state"),
    [
        (lambda slapd: slapd.disable("d.claire"), State.DISABLED),
        (lambda slapd: slapd.modify(slapd.dn("d.claire"), {"pwdEndTime": stamp(timedelta(days=-1))}), State.EXPIRED),
        (lambda slapd: slapd.modify(slapd.dn("d.claire"), {"employeeType": "prestataire"}), State.OUT_OF_SCOPE),
    ],
)
def test_person_who_is_not_let_in_is_told_even_when_groups_cannot_be_read(
    slapd: Slapd, prepare: Callable[[Slapd], None], state: State
) -> None:
    prepare(slapd)
    directory = slapd.directory(groups={"base": f"ou=wrong,{SUFFIX}"})
    identity = directory.find(slapd.subject("d.claire"))
    assert identity is not None
    assert (identity.state, identity.groups) == (state, frozenset())
    with pytest.raises(SourceMisbehaved):
        directory.find(slapd.subject("d.hugo"))
    directory.close()


@pytest.fixture(scope="module")
def restricted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """People cannot bind at all (`restrict bind`); the service account, in a database of its own, can."""
    server = Slapd(tmp_path_factory.mktemp("restricted"))
    conf, service = server.folder / "slapd.conf", "cn=vestibule,dc=services"
    (server.folder / "services").mkdir()
    text = conf.read_text().replace(SERVICE, service).replace("maxsize", "restrict bind\nmaxsize")
    second = (
        "database mdb",
        'suffix "dc=services"',
        f'rootdn "{service}"',
        f"rootpw {SERVICE_PASSWORD}",
        f"directory {server.folder}/services",
    )
    conf.write_text("\n".join((text, *second, "")))
    server.start()
    yield server
    server.stop()


def test_bind_that_the_server_is_unwilling_to_take_says_nothing_of_anybody(restricted: Slapd) -> None:
    directory = restricted.directory(bind_dn="cn=vestibule,dc=services", breaker_failures=100)
    found = directory.look_up("d.claire")
    assert found is not None
    for act in (
        lambda: directory.authenticate("d.claire", PASSWORD),
        lambda: directory.authenticate("d.claire", WRONG),
        lambda: directory.authenticate("nobody", WRONG),
        lambda: directory.change_password(found.subject, PASSWORD, new=NEW),
    ):
        with pytest.raises(SourceUnreachable) as caught:
            act()
        assert caught.value.trouble == "unavailable"
    directory.close()


def entry(**values: str) -> Entry:
    return Entry("uid=x", {name.lower(): (value.encode(),) for name, value in values.items()})


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({}, State.USABLE),
        ({"pwdAccountLockedTime": "000001010000Z"}, State.DISABLED),
        ({"pwdAccountLockedTime": "20261123075959Z"}, State.LOCKED),
        ({"pwdAccountLockedTime": "20261123070000Z"}, State.USABLE),  # half an hour is over
        ({"pwdAccountLockedTime": "rubbish"}, State.LOCKED),
        ({"nsAccountLock": "TRUE"}, State.DISABLED),
        ({"nsAccountLock": "true"}, State.DISABLED),
        ({"nsAccountLock": "false"}, State.USABLE),
        ({"accountUnlockTime": "19700101000000Z"}, State.LOCKED),
        ({"accountUnlockTime": "20261123080001Z"}, State.LOCKED),
        ({"accountUnlockTime": "20261123075959Z"}, State.USABLE),
        ({"passwordExpirationTime": "20261123075959Z"}, State.MUST_CHANGE),
        ({"passwordExpirationTime": "19700101000000Z"}, State.MUST_CHANGE),
        ({"passwordExpirationTime": "19700101000001Z"}, State.USABLE),  # what 389 writes where passwords do not expire
        ({"passwordExpirationTime": "20380119031407Z"}, State.USABLE),
        ({"pwdReset": "TRUE"}, State.MUST_CHANGE),
        ({"pwdReset": "FALSE"}, State.USABLE),
        ({"pwdChangedTime": "20260823075959Z"}, State.MUST_CHANGE),  # 92 days
        ({"pwdChangedTime": "20261023080000.123456Z"}, State.USABLE),
        ({"pwdEndTime": "20261123080000Z"}, State.EXPIRED),
        ({"pwdEndTime": "20261123100000+0200"}, State.EXPIRED),
        ({"pwdEndTime": "20261123090000Z"}, State.USABLE),
        ({"pwdStartTime": "20261123090000Z"}, State.DISABLED),
        ({"shadowExpire": "20780"}, State.EXPIRED),
        ({"shadowExpire": "20781"}, State.USABLE),
        ({"shadowExpire": "0"}, State.EXPIRED),
        ({"shadowExpire": "-1"}, State.USABLE),
        ({"pwdReset": "TRUE", "shadowExpire": "1", "pwdAccountLockedTime": "20261123075959Z"}, State.EXPIRED),
        ({"shadowExpire": "1", "pwdAccountLockedTime": "000001010000Z"}, State.DISABLED),
    ],
)
def test_gravest_state_is_said(values: dict[str, Any], state: State) -> None:
    policy = Policy(lockout_duration=timedelta(minutes=30), max_age=timedelta(days=90))
    assert state_of(entry(**values), policy, NOW) is state


def test_policy_without_limits_is_read_as_none() -> None:
    assert read_policy(entry(pwdMaxAge="0", pwdLockoutDuration="0")) == Policy(None, None, must_change=True)
    assert read_policy(entry(pwdMaxAge="60", pwdMustChange="FALSE")).max_age == timedelta(seconds=60)
