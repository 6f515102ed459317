"""What is remembered of a domain while it is listened to: whom a group's change concerns, and whose account ends by itself."""

from datetime import UTC, datetime, timedelta

from connectors.active_directory.account_ends import AccountEnds
from connectors.active_directory.group_links import MOST_NAMED, GroupLinks, LinkMemory

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def links(name: str, *members: str) -> GroupLinks:
    return GroupLinks(frozenset({name}), frozenset(members))


def remembering(**groups: GroupLinks) -> LinkMemory:
    memory = LinkMemory()
    for subject, group in groups.items():
        memory.load(subject, group)
    return memory


def test_change_concerns_those_who_came_or_left_and_those_of_groups_within() -> None:
    memory = remembering(outer=links("outer", "inner", "anna"), inner=links("inner", "ben", "outer"))  # each within the other
    change = memory.put("inner", links("inner", "carl", "outer"))
    assert change is not None
    assert (change.subjects, change.names) == ({"ben", "carl"}, {"inner", "outer"})
    change = memory.put("outer", links("outer", "anna"))
    assert change is not None
    assert change.subjects == {"carl", "anna"}, "whoever the group within holds, itself among them"
    assert memory.put("outer", links("outer", "anna")) is None


def test_group_that_is_renamed_or_deleted_concerns_everybody_in_it_by_both_names() -> None:
    memory = remembering(one=links("nuit", "anna", "ben"))
    before = memory.fingerprint
    change = memory.put("one", links("jour", "anna", "ben"))
    assert change is not None
    assert (change.subjects, change.names) == ({"anna", "ben"}, {"nuit", "jour"})
    assert memory.fingerprint != before
    change = memory.put("one", None)
    assert change is not None
    assert (change.subjects, change.names, memory.knows("one")) == ({"anna", "ben"}, {"jour"}, False)
    assert memory.fingerprint == LinkMemory().fingerprint


def test_change_that_concerns_too_many_names_nobody() -> None:
    many = [f"p{number}" for number in range(MOST_NAMED + 1)]
    memory = remembering(one=links("tous"))
    change = memory.put("one", links("tous", *many))
    assert change is not None
    assert (change.subjects, change.names) == (None, {"tous"})


def test_account_is_due_once_and_at_its_newest_end() -> None:
    ends = AccountEnds()
    for subject, hours in (("anna", 3), ("ben", 1), ("carl", 2)):
        ends.put(subject, NOON + timedelta(hours=hours))
    assert list(ends.due(NOON)) == []
    ends.put("ben", NOON + timedelta(hours=4))
    ends.put("carl", None)
    ends.put("nobody", None)
    assert list(ends.due(NOON + timedelta(hours=3))) == [("anna", NOON + timedelta(hours=3))]
    assert list(ends.due(NOON + timedelta(hours=5))) == [("ben", NOON + timedelta(hours=4))]
    assert list(ends.due(NOON + timedelta(hours=9))) == []
