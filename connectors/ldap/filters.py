"""LDAP filters (RFC 4515): values escaped into them, their syntax checked, and whether a group filter can be turned round.

Pure, and no ldap3: check-config calls it too. ldap3's own parser is not trusted with what people type: each byte that is not an ASCII letter or
digit is written `\\xx`, so that no parser can read it as anything but itself.
"""

import re
from dataclasses import dataclass
from typing import Literal

ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]*(?:;[A-Za-z0-9-]+)*|[0-9]+(?:\.[0-9]+)+")
LEAF = re.compile(
    rf"(?P<attribute>{ATTRIBUTE.pattern})?(?P<rule>(?::dn)?(?::(?:{ATTRIBUTE.pattern}))?:(?==))?(?P<sign>~=|>=|<=|=)(?P<value>.*)",
    re.DOTALL,
)
VALUE = re.compile(r"(?:[^\\()\x00]|\\[0-9A-Fa-f]{2})*")
OPERATORS: dict[str, Literal["&", "|", "!"]] = {"&": "&", "|": "|", "!": "!"}
PLACEHOLDERS = ("{dn}", "{username}")
DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Node:
    """One part of a filter: `&`, `|`, `!` with its parts, or a leaf whose `attribute`, `sign` (`=`, `:=`, ...) and `value` are as written."""

    kind: Literal["&", "|", "!", "leaf"]
    parts: tuple["Node", ...] = ()
    attribute: str = ""
    sign: str = ""
    value: str = ""

    def __str__(self) -> str:
        if self.kind == "leaf":
            return f"({self.attribute}{self.sign}{self.value})"
        return f"({self.kind}{''.join(map(str, self.parts))})"

    @property
    def placeholder(self) -> str | None:
        """`{dn}` or `{username}` when that is the whole value of an equality."""
        return self.value if self.kind == "leaf" and self.sign == "=" and self.value in PLACEHOLDERS else None

    @property
    def holds_placeholder(self) -> bool:
        """Whether a placeholder is anywhere inside."""
        if self.kind == "leaf":
            return any(placeholder in self.value for placeholder in PLACEHOLDERS)
        return any(part.holds_placeholder for part in self.parts)


def escape(value: str) -> str:
    """A value safe in any place of a filter; half a surrogate pair becomes bytes that match nothing."""
    return "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:02x}" for byte in value.encode(errors="surrogatepass"))


def escape_bytes(value: bytes) -> str:
    """The same of a value that is not text, such as objectGUID."""
    return "".join(f"\\{byte:02x}" for byte in value)


def parse_filter(text: str) -> Node:
    """The filter as a tree; raises ValueError, with the place, when it is not one."""
    node, end = _parse(text, 0, 0)
    if end != len(text):
        raise ValueError(f"there is something after the filter's last parenthesis, at character {end + 1}")
    return node


def _parse(text: str, at: int, depth: int) -> tuple[Node, int]:
    if depth > DEEPEST:
        raise ValueError("the filter is nested too deeply")
    if not text.startswith("(", at):
        raise ValueError(f"an opening parenthesis is missing at character {at + 1}")
    kind = OPERATORS.get(text[at + 1 : at + 2])
    if kind is not None:
        parts: list[Node] = []
        at += 2
        while text.startswith("(", at):
            part, at = _parse(text, at, depth + 1)
            parts.append(part)
        if not text.startswith(")", at):
            raise ValueError(f"a closing parenthesis is missing at character {at + 1}")
        if not parts or (kind == "!" and len(parts) > 1):
            raise ValueError(f"{kind} needs {'exactly one part' if kind == '!' else 'at least one part'}, at character {at + 1}")
        return Node(kind, tuple(parts)), at + 1
    end = text.find(")", at)
    if end < 0:
        raise ValueError(f"the parenthesis at character {at + 1} is never closed")
    return _leaf(text[at + 1 : end], at + 1), end + 1


def _leaf(text: str, at: int) -> Node:
    match = LEAF.fullmatch(text)
    if match is None or not (match["attribute"] or match["rule"]):
        raise ValueError(f"{text!r} at character {at + 1} is not of the form attribute=value")
    if VALUE.fullmatch(match["value"]) is None:
        raise ValueError(f"{text!r} at character {at + 1}: write a special character as a backslash and two hexadecimal digits")
    return Node("leaf", attribute=match["attribute"] or "", sign=(match["rule"] or "") + match["sign"], value=match["value"])


@dataclass(frozen=True, slots=True)
class Inverse:
    """How to read every group at once instead of asking for each person's: `filter` finds the groups, whose `dn_attributes` hold entries'
    names and `username_attributes` logins."""

    filter: str
    dn_attributes: tuple[str, ...]
    username_attributes: tuple[str, ...]


def invert(text: str) -> Inverse | None:
    """The Inverse of a group filter, or None when it cannot be turned round (negations, substrings and matching rules on a placeholder)."""
    node = parse_filter(text)
    members = _members(node)
    if not members:
        return None
    dn = tuple(leaf.attribute for leaf in members if leaf.value == "{dn}")
    username = tuple(leaf.attribute for leaf in members if leaf.value == "{username}")
    return Inverse(str(_opened(node)), dn, username)


def presence(text: str) -> str | None:
    """What finds every group that has members of the kind a group filter asks for; None when the filter does not say what members are."""
    node = parse_filter(text)
    present = _present(node) if node.holds_placeholder else None
    return None if present is None else str(present)


def _present(node: Node) -> Node | None:
    """The filter with `=*` in place of what is asked of a member; parts that cannot be said so are left out."""
    if not node.holds_placeholder:
        return node
    if node.kind == "leaf":
        return Node("leaf", attribute=node.attribute, sign="=", value="*") if node.attribute else None
    if node.kind == "!":
        return None
    parts = tuple(part for part in map(_present, node.parts) if part is not None)
    return Node(node.kind, parts) if parts else None


def _members(node: Node) -> tuple[Node, ...]:
    """The leaves that any one of makes somebody a member; empty when it is not as simple as that."""
    if node.placeholder:
        return (node,)
    if node.kind == "|" and all(part.placeholder for part in node.parts):
        return node.parts
    if node.kind == "&":
        holding = [part for part in node.parts if part.holds_placeholder]
        return _members(holding[0]) if len(holding) == 1 else ()
    return ()


def _opened(node: Node) -> Node:
    if node.placeholder:
        return Node("leaf", attribute=node.attribute, sign="=", value="*")
    return Node(node.kind, tuple(map(_opened, node.parts)), node.attribute, node.sign, node.value)
