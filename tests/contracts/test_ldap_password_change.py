"""A person changes their own password on a real OpenLDAP; each of the directory's objections gets its word."""

from collections.abc import Iterator

import pytest

from connectors.base import (
    ChangeProblem,
    ChangeRefused,
    ChangeRequired,
    CredentialsRefused,
    PersonNotUsable,
    SourceMisbehaved,
    SourceUnreachable,
    State,
)
from connectors.ldap.change import refuse_unless_changed
from connectors.ldap.directory import LdapDirectory
from connectors.ldap.policy_control import PolicyAnswer, PolicyError, read_policy_answer
from connectors.ldap.wire import Answer
from tests.support.processes import wait_until
from tests.support.slapd import PASSWORD, PASSWORD_SERVICE, SUFFIX, Slapd

NEW = "Nouveau-Sentier-73-Bruyere"
NEWER = "Encore-Verger-19-Mesange"


@pytest.fixture
def directory(slapd: Slapd) -> Iterator[LdapDirectory]:
    directory = slapd.directory(servers=[slapd.ldap])
    yield directory
    directory.close()


def problem(directory: LdapDirectory, slapd: Slapd, new: str, current: str = PASSWORD) -> ChangeProblem:
    with pytest.raises(ChangeRefused) as caught:
        directory.change_password(slapd.subject("d.claire"), current, new=new)
    assert not any(secret and secret in caught.value.detail for secret in (new, current))
    return caught.value.problem


def test_person_changes_the_password(directory: LdapDirectory, slapd: Slapd) -> None:
    identity = directory.change_password(slapd.subject("d.claire"), PASSWORD, new=NEW)
    assert (identity.state, identity.amr, identity.username) == (State.USABLE, ("pwd",), "d.claire")
    assert "tilleuls-infirmiers" in identity.groups
    assert directory.authenticate("d.claire", NEW).subject == identity.subject
    with pytest.raises(CredentialsRefused):
        directory.authenticate("d.claire", PASSWORD)


def test_change_is_told_when_the_person_cannot_be_read_after_it(slapd: Slapd) -> None:
    """The change itself takes the person out of this scope: the new password is in force, so nothing may be said to have failed."""
    slapd.must_change("d.claire")
    directory = slapd.directory(scope="(&(objectClass=inetOrgPerson)(pwdReset=TRUE))")
    identity = directory.change_password(slapd.subject("d.claire"), PASSWORD, new=NEW)
    assert (identity.state, identity.amr, identity.username) == (State.USABLE, ("pwd",), "d.claire")
    assert "tilleuls-infirmiers" in identity.groups
    assert slapd.can_bind(slapd.dn("d.claire"), NEW)
    directory.close()


def test_nothing_is_changed_when_groups_cannot_be_read(slapd: Slapd) -> None:
    directory = slapd.directory(groups={"base": f"ou=wrong,{SUFFIX}"})
    with pytest.raises(SourceMisbehaved):
        directory.change_password(slapd.subject("d.claire"), PASSWORD, new=NEW)
    assert slapd.can_bind(slapd.dn("d.claire"), PASSWORD)
    directory.close()


def test_person_who_must_change_changes_and_signs_in(directory: LdapDirectory, slapd: Slapd) -> None:
    slapd.must_change("d.claire")
    with pytest.raises(ChangeRequired):
        directory.authenticate("d.claire", PASSWORD)
    assert directory.change_password(slapd.subject("d.claire"), PASSWORD, new=NEW).state is State.USABLE
    assert directory.authenticate("d.claire", NEW).state is State.USABLE


@pytest.mark.parametrize(
    ("new", "expected"), [("short", "too_short"), ("", "too_short"), (PASSWORD, "reused"), ("nul\x00-inside-12345", "too_weak")]
)
def test_new_password_is_refused_in_the_words_of_the_directory(
    directory: LdapDirectory, slapd: Slapd, new: str, expected: ChangeProblem
) -> None:
    assert problem(directory, slapd, new) == expected
    assert directory.authenticate("d.claire", PASSWORD)


@pytest.mark.parametrize("current", ["wrong-Password-1", "", "x\x00"])
def test_present_password_must_be_right(directory: LdapDirectory, slapd: Slapd, current: str) -> None:
    assert problem(directory, slapd, NEW, current) == "wrong_current"


def test_old_passwords_do_not_come_back(directory: LdapDirectory, slapd: Slapd) -> None:
    subject = slapd.subject("d.claire")
    directory.change_password(subject, PASSWORD, new=NEW)
    directory.change_password(subject, NEW, new=NEWER)
    assert problem(directory, slapd, NEW, NEWER) == "reused"


def test_password_that_is_too_young_stays(directory: LdapDirectory, slapd: Slapd) -> None:
    directory.change_password(slapd.subject("d.claire"), PASSWORD, new=NEW)
    slapd.set_policy(pwdMinAge="3600")
    assert problem(directory, slapd, NEWER, NEW) == "too_young"


def test_policy_may_forbid_changes(directory: LdapDirectory, slapd: Slapd) -> None:
    slapd.set_policy(pwdAllowUserChange="FALSE")
    assert problem(directory, slapd, NEW) == "not_allowed"


def test_barred_person_changes_nothing(directory: LdapDirectory, slapd: Slapd) -> None:
    for bar, state in ((slapd.disable, State.DISABLED), (slapd.lock, State.LOCKED)):
        slapd.enable("d.claire")
        bar("d.claire")
        with pytest.raises(PersonNotUsable) as caught:
            directory.change_password(slapd.subject("d.claire"), PASSWORD, new=NEW)
        assert (caught.value.state, caught.value.is_proven) == (state, False)


def test_person_out_of_scope_changes_nothing(directory: LdapDirectory, slapd: Slapd) -> None:
    with pytest.raises(PersonNotUsable) as caught:
        directory.change_password(slapd.subject("d.remi"), PASSWORD, new=NEW)
    assert caught.value.state is State.OUT_OF_SCOPE


@pytest.mark.parametrize(("grace", "bind_dn", "is_changed"), [("0", PASSWORD_SERVICE, True), ("0", None, False), ("3", None, True)])
def test_person_whose_password_has_expired_changes_it(slapd: Slapd, grace: str, bind_dn: str | None, is_changed: bool) -> None:
    """By a grace bind, or by a service account that may write; with neither, the directory does not allow it."""
    directory = slapd.directory(**({"bind_dn": bind_dn} if bind_dn else {}))
    subject = slapd.subject("d.claire")
    directory.change_password(subject, PASSWORD, new=NEW)
    slapd.set_policy(pwdMaxAge="1")
    wait_until(lambda: not slapd.can_bind(slapd.dn("d.claire"), NEW), seconds=60)
    slapd.set_policy(pwdGraceAuthNLimit=grace)
    assert problem(directory, slapd, NEWER, "wrong-Password-1") == "wrong_current"
    if is_changed:
        assert problem(directory, slapd, "short", NEW) == "too_short", "the policy holds for the service account too"
        directory.change_password(subject, NEW, new=NEWER)
        slapd.set_policy(pwdMaxAge="0")
        assert directory.authenticate("d.claire", NEWER)
    else:
        assert problem(directory, slapd, NEWER, NEW) == "not_allowed"
    directory.close()


def test_change_is_not_tried_when_the_directory_is_down(directory: LdapDirectory, slapd: Slapd) -> None:
    subject = slapd.subject("d.claire")
    slapd.stop()
    with pytest.raises(SourceUnreachable):
        directory.change_password(subject, PASSWORD, new=NEW)
    slapd.start()
    assert directory.authenticate("d.claire", PASSWORD)


@pytest.mark.parametrize(
    ("code", "message", "error", "expected"),
    [
        (19, "", PolicyError.PASSWORD_TOO_SHORT, "too_short"),
        (19, "", PolicyError.INSUFFICIENT_PASSWORD_QUALITY, "too_weak"),
        (19, "", PolicyError.PASSWORD_IN_HISTORY, "reused"),
        (19, "", PolicyError.PASSWORD_TOO_YOUNG, "too_young"),
        (53, "", PolicyError.PASSWORD_MOD_NOT_ALLOWED, "not_allowed"),
        (50, "", PolicyError.MUST_SUPPLY_OLD_PASSWORD, "not_allowed"),
        (19, "invalid password syntax: password in history", None, "reused"),
        (19, "invalid password syntax: password must be at least 8 characters long", None, "too_short"),
        (19, "within password minimum age", None, "too_young"),
        (19, "invalid password syntax: password based off of user entry", None, "too_weak"),
        (19, "", None, "too_weak"),
        (53, "unwilling to verify old password", None, "wrong_current"),
        (53, "shadow context; no update referral", None, "not_allowed"),
        (49, "", None, "wrong_current"),
        (50, "", None, "not_allowed"),
        (10, "", None, "not_allowed"),
        (65, "no objectClass", None, "not_allowed"),
    ],
)
def test_answers_are_put_in_plain_words(code: int, message: str, error: PolicyError | None, expected: ChangeProblem) -> None:
    with pytest.raises(ChangeRefused) as caught:
        refuse_unless_changed("annuaire", Answer(code, message, PolicyAnswer(is_present=error is not None, error=error)))
    assert caught.value.problem == expected


def test_answer_that_repeats_the_password_is_not_kept() -> None:
    answer = Answer(19, f"the word {NEW} is in no dictionary, but too short", PolicyAnswer())
    with pytest.raises(ChangeRefused) as caught:
        refuse_unless_changed("annuaire", answer, typed=(PASSWORD.encode(), NEW.encode()))
    assert caught.value.problem == "too_short"
    assert NEW not in caught.value.detail


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (None, PolicyAnswer()),
        (b"0\x00", PolicyAnswer(is_present=True)),
        (b"0\x03\x81\x01\x01", PolicyAnswer(is_present=True, error=PolicyError.ACCOUNT_LOCKED)),
        (b"0\x03\x81\x01\x63", PolicyAnswer(is_present=True, error=PolicyError.UNKNOWN)),
        (b"0\x05\xa0\x03\x80\x01\x0a", PolicyAnswer(is_present=True)),
        (b"0\x05\xa0\x03\x81\x01\x02", PolicyAnswer(is_present=True, grace_left=2)),
        (b"0\x81\x03\x81\x01\x02", PolicyAnswer(is_present=True, error=PolicyError.CHANGE_AFTER_RESET)),
    ],
)
def test_policy_control_is_read(value: bytes | None, answer: PolicyAnswer) -> None:
    assert read_policy_answer(value) == answer


@pytest.mark.parametrize("value", [b"0", b"0\x05\x81\x01", b"0\x03\x81\x09\x01"])
def test_policy_control_that_is_cut_short_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError):
        read_policy_answer(value)
