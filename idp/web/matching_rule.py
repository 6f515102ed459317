"""Flask's URL rules, which here only match: what would build a URL from a rule is compiled when somebody first asks for it.

Werkzeug compiles two functions for each rule as it is added, which is three quarters of what making the application costs, at each start, at each
reload and in each test; our pages write their own addresses.
"""

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule


class MatchingRule(Rule):
    """Flask's url_rule_class."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:  # noqa: FBT001, FBT002  # Werkzeug's signature
        compiled: list[Callable[..., tuple[str, str]]] = []

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            if not compiled:
                compiled.append(super(MatchingRule, self)._compile_builder(append_unknown))
            return compiled[0](rule, **values)

        return build
