"""What a preview is, and what every page of the console is given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from policies.acts import Act


@dataclass(frozen=True, slots=True)
class Page:
    """One page to look at: a name for URLs and files, its template and what it is given."""

    name: str
    template: str
    context: Mapping[str, Any] = field(default_factory=dict)


# As idp/web/admin/console.py renders every page for somebody who may do everything.
CONSOLE: Mapping[str, Any] = {"agent": {"name": "Nadia Ferrand"}, "held": frozenset(Act), "here": "/admin"}
