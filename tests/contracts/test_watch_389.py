"""Listening to a real 389 Directory Server: the same words as of OpenLDAP, from now on."""

from collections.abc import Iterator

import pytest

from connectors.base import SourceUnreachable, State
from idp.clock import SystemClock
from tests.support.dirsrv import Dirsrv, dirsrv
from tests.support.ears import listening
from tests.support.slapd import GROUPS, PEOPLE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server() -> Iterator[Dirsrv]:
    with dirsrv() as made:
        made.add_person("ds.claire")
        made.add(f"cn=depart,{GROUPS}", ["groupOfNames"], {"cn": "depart", "member": f"uid=ds.left,{PEOPLE}"})
        yield made


def test_whatever_happens_to_people_and_groups_is_heard_from_now_on(server: Dirsrv) -> None:
    directory = server.directory(SystemClock(), watch={"heartbeat": "2s"})
    try:
        assert [step.outcome for step in directory.check() if step.title == "Listening"] == ["ok"]
        with listening(directory, b"whatever") as ears:
            assert (first := ears.next()).kind == "lost"
            assert first.cursor is None
            dn = server.add_person("ds.hugo", employeeType="interne")
            heard = ears.word()
            assert heard.kind == "person"
            subject = heard.subject
            server.modify(dn, nsAccountLock="true")
            heard = ears.word()
            assert (heard.kind, heard.subject) == ("person", subject)
            found = directory.find(subject)
            assert found is not None
            assert found.state is State.DISABLED
            server.rename(dn, "uid=ds.victor")
            dn = f"uid=ds.victor,{PEOPLE}"
            assert ears.word().subject == subject
            server.modify(dn, nsAccountLock=None)
            assert ears.word().subject == subject
            server.add(f"cn=nuit,{GROUPS}", ["groupOfNames"], {"cn": "nuit", "member": dn})
            heard = ears.word()
            assert (heard.kind, heard.subjects) == ("members", {subject})
            assert heard.groups == {"nuit", f"cn=nuit,{GROUPS}"}
            server.modify(f"cn=nuit,{GROUPS}", member=None)
            assert ears.word().subjects == {subject}, "also the last one who leaves"
            server.modify(f"cn=depart,{GROUPS}", member=f"uid=ds.claire,{PEOPLE}")
            heard = ears.word()
            assert (heard.subjects is not None and len(heard.subjects), "depart" in heard.groups) == (1, True)
            server.delete(dn)
            heard = ears.word()
            assert (heard.kind, heard.subject) == ("gone", subject)
            assert ears.words() == []
            server.stop()
            with pytest.raises(SourceUnreachable):
                ears.word()
        server.start()
        with listening(directory) as ears:
            assert ears.next().kind == "lost"
    finally:
        directory.close()
