"""Wrong passwords, which a directory tells of like any other change: whoever types them must not be able to keep us busy while somebody is disabled.

A directory writes each failed try into the person's entry and pushes the entry, not what changed in it. Owns what is remembered to tell.
"""

from connectors.ldap.state import FAILURE_ATTRIBUTES
from connectors.ldap.wire import Entry

MOST_REMEMBERED = 10_000
FAILURES = frozenset(name.lower() for name in FAILURE_ATTRIBUTES)
# They move with every change.
ALWAYS_NEW = frozenset({"entrycsn"})


class FailedTries:
    """The people who were heard of last, as they were then. For one thread."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}

    def is_all(self, subject: str, entry: Entry) -> bool:
        """Whether nothing but failed tries has changed since this person was heard of before; False for whoever was not.

        A change that shows in no attribute (a password's, where the directory does not say when) is never taken for one: the failures are the same.
        """
        failures = hash(tuple(sorted((name, values) for name, values in entry.values.items() if name in FAILURES)))
        others = ((name, values) for name, values in entry.values.items() if name not in FAILURES and name not in ALWAYS_NEW)
        now = (hash((entry.dn, tuple(sorted(others)))), failures)
        before = self._last.pop(subject, None)
        if before is None and len(self._last) >= MOST_REMEMBERED:
            del self._last[next(iter(self._last))]
        self._last[subject] = now
        return before is not None and before[0] == now[0] and before[1] != now[1]

    def forget(self, subject: str) -> None:
        """They were not told of for a while: whatever comes next is news."""
        self._last.pop(subject, None)
