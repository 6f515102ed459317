"""The canary's one write, on real directories: disabled as an administrator does it, enabled again, and nobody else's entry ever touched."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.base import Canary, CanaryDirectory, Directory, NotDelegated, PersonNotUsable, PersonProtected, State
from tests.support.samba import Samba
from tests.support.slapd import Slapd

GUIDE = Path(__file__).parents[2] / "docs" / "certificate-of-a-cut.md"
SLAPD_CANARY = "d.claire"
LOCKED_389 = "nsAccountLock"  # tests/contracts/test_389.py has tried it
CONTROL = "bf967a68-0de6-11d0-a285-00aa003049e2"  # the schema's id of userAccountControl


Open = Callable[..., Directory]


@pytest.fixture
def closing() -> Iterator[Callable[[Directory], Directory]]:
    """Directories, closed in the end."""
    made: list[Directory] = []

    def opened(directory: Directory) -> Directory:
        made.append(directory)
        return directory

    yield opened
    for one in made:
        one.close()


@pytest.fixture
def on_slapd(slapd: Slapd, closing: Callable[[Directory], Directory]) -> Open:
    """Directories with a canary, by its settings."""
    return lambda **canary: closing(slapd.directory(canary=slapd.canary(**canary)))


def hand_of(directory: Directory) -> Canary:
    assert isinstance(directory, CanaryDirectory)
    hand = directory.canary()
    assert hand is not None
    return hand


def state(directory: Directory, subject: str) -> State:
    found = directory.find(subject)
    assert found is not None
    return found.state


def test_canary_is_disabled_and_enabled_again_on_slapd(slapd: Slapd, on_slapd: Open) -> None:
    directory, subject = on_slapd(), slapd.subject(SLAPD_CANARY)
    hand = hand_of(directory)
    assert hand.login == SLAPD_CANARY
    for _ in range(2):  # twice changes nothing
        hand.disable(subject)
        assert state(directory, subject) is State.DISABLED
    for _ in range(2):
        hand.enable(subject)
        assert state(directory, subject) is State.USABLE
    assert slapd.values(SLAPD_CANARY, "pwdAccountLockedTime") == []


def test_canary_that_wrong_passwords_locked_is_not_unlocked(slapd: Slapd, on_slapd: Open) -> None:
    """Enabling takes back what disabling wrote, and nothing else."""
    directory, subject = on_slapd(), slapd.subject(SLAPD_CANARY)
    slapd.lock(SLAPD_CANARY)
    before = slapd.values(SLAPD_CANARY, "pwdAccountLockedTime")
    hand_of(directory).enable(subject)
    assert slapd.values(SLAPD_CANARY, "pwdAccountLockedTime") == before != []


def test_canary_is_refused_when_its_account_has_no_right(slapd: Slapd, on_slapd: Open) -> None:
    directory, subject = on_slapd(bind_dn=None, bind_password=None), slapd.subject(SLAPD_CANARY)
    with pytest.raises(NotDelegated):
        hand_of(directory).disable(subject)
    assert state(directory, subject) is State.USABLE


def test_canary_account_disables_nobody_else(slapd: Slapd, on_slapd: Open) -> None:
    """What docs/certificate-of-a-cut.md grants is on one entry."""
    directory, other = on_slapd(), slapd.subject("d.hugo")
    with pytest.raises(NotDelegated):
        hand_of(directory).disable(other)
    assert state(directory, other) is State.USABLE
    said = " ".join(GUIDE.read_text(encoding="utf-8").split())
    for words in ("attrs=pwdAccountLockedTime by dn.exact=", "manage by * break", f'(targetattr = "{LOCKED_389}")'):
        assert words in said


def test_canary_is_refused_when_it_is_nobody_in_scope(slapd: Slapd, on_slapd: Open) -> None:
    with pytest.raises(PersonNotUsable):
        hand_of(on_slapd()).disable("00000000-0000-0000-0000-000000000000")


def test_canary_is_refused_when_it_is_our_own_account(slapd: Slapd, on_slapd: Open) -> None:
    with pytest.raises(PersonProtected):
        hand_of(on_slapd(bind_dn=slapd.dn(SLAPD_CANARY))).disable(slapd.subject(SLAPD_CANARY))
    assert slapd.values(SLAPD_CANARY, "pwdAccountLockedTime") == []


def test_directory_without_a_canary_has_none(slapd: Slapd, closing: Callable[[Directory], Directory]) -> None:
    directory = closing(slapd.directory())
    assert isinstance(directory, CanaryDirectory)
    assert directory.canary() is None


def test_canary_is_disabled_and_enabled_again_in_a_domain(samba: Samba, closing: Callable[[Directory], Directory]) -> None:
    """Its account has the right on this one object: whoever is beside it is not touched."""
    dn = samba.add_person("canari")
    samba.add_person("voisine")
    directory = closing(samba.directory(canary={"login": "canari"}, desk=samba.desk()))
    subject, before = samba.subject("canari"), samba.values("canari", "userAccountControl")
    hand = hand_of(directory)
    with pytest.raises(NotDelegated):
        hand.disable(subject)
    samba.tool("dsacl", "set", f"--objectdn={dn}", f"--sddl=(OA;;RPWP;{CONTROL};;{samba.sid('vestibule-resets')})")
    with pytest.raises(NotDelegated):
        hand.disable(samba.subject("voisine"))
    for _ in range(2):
        hand.disable(subject)
        assert state(directory, subject) is State.DISABLED
    for _ in range(2):
        hand.enable(subject)
        assert state(directory, subject) is State.USABLE
    assert samba.values("canari", "userAccountControl") == before
