"""Signing in on a real OpenLDAP, over LDAPS and StartTLS: who is found by what, and everything that finds nobody."""

import string
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connectors.base import ChangeRequired, CredentialsRefused, Directory, Identity, SourceMisbehaved, SourceUnreachable, State
from connectors.ldap.directory import LdapDirectory
from tests.support.processes import wait_until
from tests.support.relay import relayed
from tests.support.slapd import GROUPS, PASSWORD, PEOPLE, SUFFIX, Slapd

Open = Callable[..., LdapDirectory]


@pytest.fixture
def opened(slapd: Slapd) -> Iterator[Open]:
    """Open the directory with other settings; closed at the end."""
    made: list[LdapDirectory] = []

    def make(**override: object) -> LdapDirectory:
        made.append(slapd.directory(**override))
        return made[-1]

    yield make
    for directory in made:
        directory.close()


@pytest.fixture(params=["ldaps", "start_tls"])
def directory(request: pytest.FixtureRequest, slapd: Slapd, opened: Open) -> LdapDirectory:
    return opened(servers=[slapd.ldaps if request.param == "ldaps" else slapd.ldap])


def refused(directory: Directory, identifier: str, password: str = PASSWORD) -> CredentialsRefused:
    with pytest.raises(CredentialsRefused) as caught:
        directory.authenticate(identifier, password)
    assert type(caught.value) is CredentialsRefused
    return caught.value


@pytest.mark.parametrize("identifier", ["d.claire", "D.Claire", "d.claire@annuaire.example", "70001"])
def test_person_signs_in_by_login_mail_or_number(directory: LdapDirectory, slapd: Slapd, identifier: str) -> None:
    identity = directory.authenticate(identifier, PASSWORD)
    assert identity.subject == slapd.subject("d.claire")
    assert (identity.connector, identity.state, identity.amr) == ("annuaire", State.USABLE, ("pwd",))
    assert (identity.username, identity.given_name, identity.family_name) == ("d.claire", "Claire", "Dumont")
    assert (identity.email, identity.number, identity.phone_number) == ("d.claire@annuaire.example", "70001", "06 00 00 00 01")
    assert identity.groups == {"tilleuls-infirmiers", f"cn=tilleuls-infirmiers,{GROUPS}"}


def test_directory_satisfies_the_protocol(opened: Open) -> None:
    directory: Directory = opened()
    assert directory.name == "annuaire"


def test_person_whose_entry_has_an_awkward_name_signs_in(directory: LdapDirectory) -> None:
    identity = directory.authenticate("d.zoe", PASSWORD)
    assert (identity.given_name, identity.family_name) == ("Zoé", "Éluard")
    assert "tilleuls-infirmiers" in identity.groups


def test_other_attributes_come_by_their_names_in_lower_case(opened: Open) -> None:
    identity = opened().authenticate("d.paul", PASSWORD)
    assert identity.attributes is not None
    assert identity.attributes["departmentnumber"] == ("SI-12",)


def test_person_keeps_the_subject_when_the_entry_is_renamed_and_moved(directory: LdapDirectory, slapd: Slapd) -> None:
    before = directory.authenticate("d.claire", PASSWORD)
    dn = slapd.rename(slapd.dn("d.claire"), "uid=d.claire-martin")
    dn = slapd.rename(dn, "uid=d.claire-martin", under=f"ou=nights,{PEOPLE}")
    slapd.modify(dn, {"sn": "Martin"})
    after = directory.authenticate("d.claire-martin", PASSWORD)
    assert (after.subject, after.family_name) == (before.subject, "Martin")
    found = directory.find(before.subject)
    assert found is not None
    assert found.username == "d.claire-martin"
    assert refused(directory, "d.claire").subject is None


def test_person_with_a_wrong_password_is_refused_and_named_for_the_throttle_only(directory: LdapDirectory, slapd: Slapd) -> None:
    assert refused(directory, "d.claire", "wrong-Password-1").subject == slapd.subject("d.claire")


@pytest.mark.parametrize("identifier", ["nobody", "accueil@annuaire.example", "d.remi", "d.claire*", "vestibule"])
def test_nobody_is_found_when_unknown_ambiguous_or_out_of_scope(directory: LdapDirectory, identifier: str) -> None:
    assert refused(directory, identifier).subject is None


def test_two_people_of_the_same_mail_sign_in_by_their_logins(directory: LdapDirectory) -> None:
    assert directory.authenticate("d.lea", PASSWORD).subject != directory.authenticate("d.noa", PASSWORD).subject


@pytest.mark.parametrize("typed", ["d.claire", " D.Claire ", "Ｄ.claire"])
def test_a_colleagues_mail_does_not_take_a_login_away(opened: Open, slapd: Slapd, typed: str) -> None:
    for colleague in ("d.hugo", "d.paul", "d.amina"):
        slapd.modify(slapd.dn(colleague), {"mail": "d.claire"})
    assert opened().authenticate(typed, PASSWORD).username == "d.claire", "a login comes before a mail address"
    looked_up = opened().look_up(typed)
    assert looked_up is not None
    assert looked_up.username == "d.claire"
    assert refused(opened(identifiers=["mail", "uid"]), "d.claire").subject is None, "three have it as their mail address"


def test_the_order_of_identifiers_says_whom_one_means(opened: Open, slapd: Slapd) -> None:
    slapd.modify(slapd.dn("d.hugo"), {"mail": "d.claire"})
    assert opened(identifiers=["mail", "uid"]).authenticate("d.claire", PASSWORD).username == "d.hugo"


def test_an_identifier_of_very_many_people_means_nobody(opened: Open, slapd: Slapd) -> None:
    for number in range(25):
        slapd.add_person(f"many{number:04}", mail="d.claire")
    assert refused(opened(), "d.claire").subject is None


@pytest.mark.parametrize("password", ["", "\x00", f"{PASSWORD}\x00", "\ud800", "x" * 5000, " ", "*", "(cn=*)"])
def test_passwords_that_must_not_be_sent_or_are_wrong_are_refused(directory: LdapDirectory, password: str) -> None:
    assert refused(directory, "d.claire", password).subject is not None


def test_passwords_are_sent_as_they_were_typed(opened: Open, slapd: Slapd) -> None:
    for number, password in enumerate(
        (" leading space", "é\u00a0soft\u00adhyphen", "ﬁligature-12345", "mot de passe €uro", "tab\tinside-99")
    ):
        slapd.add_person(f"typed{number}", password=password)
        assert opened().authenticate(f"typed{number}", password).username == f"typed{number}"
    assert refused(opened(), "typed1", "é softhyphen").subject is not None, "SASLprep would have taken this for the same"


def test_an_entry_without_a_password_is_refused(opened: Open, slapd: Slapd) -> None:
    slapd.add_person("no-password", password=None)
    for password in (PASSWORD, ""):
        refused(opened(), "no-password", password)


EVERYBODY = {"d.claire", "d.hugo", "d.amina", "d.zoe", "d.paul", "d.lea", "d.noa"}
KNOWN = EVERYBODY | {f"{uid}@annuaire.example" for uid in EVERYBODY} | {str(number) for number in range(70001, 70009)}
HOSTILE = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="*()\\&|!=<>~:;,+\"'# \x00\n\t/dclaire.0123456789", max_size=60),
    st.text(alphabet=string.printable, max_size=400),
    st.sampled_from(sorted(KNOWN)).flatmap(
        lambda known: st.sampled_from([f"{known}*", f"*{known}", f"{known})(uid=*", f"{known}\x00", f"{known}\\"])
    ),
)


def canonical(text: str) -> str:
    """How a directory compares: width, accents' form, capitals and spaces do not count."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    return "".join(unicodedata.normalize("NFKD", folded).split())


@given(identifier=HOSTILE, password=st.sampled_from([PASSWORD, "wrong", ""]))
@example(identifier="*)(uid=*))(|(uid=*", password=PASSWORD)
@example(identifier="*", password=PASSWORD)
@example(identifier="d.claire)(objectClass=*", password=PASSWORD)
@example(identifier="x)(|(uid=d.claire)", password=PASSWORD)
@example(identifier="d.claire\x00", password=PASSWORD)
@example(identifier="\\2a", password=PASSWORD)
@example(identifier="70000>=1", password=PASSWORD)
@example(identifier=":=d.claire", password=PASSWORD)
@example(identifier="\ud800", password=PASSWORD)
@example(identifier="d.claire" * 5000, password=PASSWORD)
@example(identifier=f"uid=d.claire,{PEOPLE}", password=PASSWORD)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_hostile_identifiers_find_nobody(session_slapd: Slapd, identifier: str, password: str) -> None:
    if canonical(identifier) in {canonical(known) for known in KNOWN}:
        return
    session_slapd.start()
    directory = _kept(session_slapd)
    assert refused(directory, identifier, password).subject is None
    assert directory.look_up(identifier) is None
    assert directory.find(identifier[:300]) is None


KEPT: dict[int, LdapDirectory] = {}


def _kept(server: Slapd) -> LdapDirectory:
    """One directory for all examples."""
    return KEPT.setdefault(id(server), server.directory())


GOODBYE = b"\x42\x00"  # an unbind request, the last that a connection says


def test_unknown_and_wrong_cost_the_same_exchanges(slapd: Slapd, opened: Open) -> None:
    with relayed(slapd.port) as relay:
        directory = opened(servers=[f"ldap://127.0.0.1:{relay.port}"], start_tls=False)
        refused(directory, "nobody", "warm-up-Password-1")  # opens the service connection
        wait_until(lambda: relay.sent[-1].endswith(GOODBYE), seconds=60)

        def exchanges(act: Callable[[], object]) -> tuple[int, int]:
            before, messages = len(relay.sent), sum(map(_messages, relay.sent))
            act()
            wait_until(lambda: relay.sent[-1].endswith(GOODBYE), seconds=60)
            return len(relay.sent) - before, sum(map(_messages, relay.sent)) - messages

        wrong = exchanges(lambda: refused(directory, "d.paul", "wrong-Password-1"))
        assert wrong == (1, 3), "a fresh connection; a search, a bind and a goodbye"
        assert exchanges(lambda: refused(directory, "nobody", "wrong-Password-1")) == wrong
        assert exchanges(lambda: refused(directory, "accueil@annuaire.example", "wrong-Password-1")) == wrong
        assert exchanges(lambda: refused(directory, "d.paul", "")) == wrong
        assert exchanges(lambda: refused(directory, "x\x00y", "wrong-Password-1")) == wrong
        directory.close()


def _messages(data: bytearray) -> int:
    """How many LDAP messages (BER sequences) a clear stream holds."""
    at = count = 0
    while at < len(data):
        length, at = data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        at += length
        count += 1
    return count


def test_many_people_sign_in_at_once(slapd: Slapd, opened: Open) -> None:
    directory = opened(receive_timeout="10s", connect_timeout="10s")
    wanted = [uid for uid in ("d.claire", "d.hugo", "d.amina", "d.zoe") for _ in range(10)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda uid: directory.authenticate(uid, PASSWORD).username, wanted))
    assert found == wanted


def test_look_up_tells_an_operator_who_is_named(opened: Open, slapd: Slapd) -> None:
    directory = opened()
    found = directory.look_up("70002")
    assert found is not None
    assert (found.username, found.amr, "glycines-aides" in found.groups) == ("d.hugo", (), True)
    outside = directory.look_up("d.remi")
    assert outside is not None
    assert outside.state is State.OUT_OF_SCOPE
    assert directory.look_up("accueil@annuaire.example") is None
    assert directory.look_up("nobody") is None


def test_find_tells_gone_from_out_of_scope_and_from_hidden(opened: Open, slapd: Slapd) -> None:
    directory = opened()
    subject = slapd.subject("d.claire")
    slapd.modify(slapd.dn("d.claire"), {"employeeType": "prestataire"})
    found = directory.find(subject)
    assert found is not None
    assert found.state is State.OUT_OF_SCOPE
    slapd.rename(slapd.dn("d.claire"), "uid=d.claire", under=f"ou=elsewhere,{SUFFIX}")
    assert directory.find(subject) is None, "outside the base is as good as gone"
    slapd.delete(slapd.dn("d.claire"))
    assert directory.find(subject) is None
    assert directory.find("aa71c9da-0000-1041-996d-000000000000") is None
    assert directory.find("not-an-id") is None


def test_nobody_is_gone_when_the_base_or_everybody_is_hidden(opened: Open, slapd: Slapd) -> None:
    subject = slapd.subject("d.claire")
    for blind in ({"base": f"ou=wrong,{SUFFIX}"}, {"lasting_id": "nsUniqueId"}, {"scope": "(objectClass=device)"}):
        directory = opened(**blind)
        for person in (subject, subject[::-1]):
            with pytest.raises(SourceMisbehaved):
                directory.find(person)


def test_nobody_is_out_of_scope_when_nobody_at_all_is_in_it(opened: Open, slapd: Slapd) -> None:
    """As when the overlay that keeps memberOf is gone: the whole scope is empty, which says nothing of one person."""
    directory = opened(scope="(memberOf=cn=vanished)")
    subject = slapd.subject("d.claire")
    for act in (
        lambda: directory.find(subject),
        lambda: directory.look_up("d.claire"),
        lambda: directory.change_password(subject, PASSWORD, new="Nouveau-Sentier-73-Bruyere"),
    ):
        with pytest.raises(SourceMisbehaved, match="in scope"):
            act()


class Ticking:
    """A clock that moves by a second whenever somebody looks at it."""

    def __init__(self) -> None:
        self.shown = [datetime.now(UTC)]

    def now(self) -> datetime:
        self.shown.append(self.shown[-1] + timedelta(seconds=1))
        return self.shown[-1]


def test_an_answer_is_as_old_as_the_first_question(slapd: Slapd) -> None:
    clock = Ticking()
    directory = slapd.directory(clock)
    subject = slapd.subject("d.claire")

    def must_change() -> Identity:
        slapd.must_change("d.claire")
        with pytest.raises(ChangeRequired) as caught:
            directory.authenticate("d.claire", PASSWORD)
        return caught.value.identity

    for act in (
        lambda: directory.authenticate("d.claire", PASSWORD),
        lambda: directory.find(subject),
        lambda: directory.look_up("d.claire"),
        lambda: directory.look_up("d.remi"),
        must_change,
        lambda: directory.change_password(subject, PASSWORD, new="Nouveau-Sentier-73-Bruyere"),
    ):
        before = len(clock.shown)
        identity = act()
        assert identity is not None
        assert identity.seen_at in clock.shown[before : before + 2], "only who asks at once is counted before"
    directory.close()


def test_service_account_with_a_wrong_password_is_a_trouble_of_its_own(opened: Open, slapd: Slapd) -> None:
    directory = opened(bind_password=f"file:{slapd.folder / 'root.password'}")
    with pytest.raises(SourceUnreachable) as caught:
        directory.authenticate("d.claire", PASSWORD)
    assert caught.value.trouble == "service_account"
