"""Distinguished names (RFC 4514) brought to one form, so that a member's name in a group can be compared with an entry's own.

Pure. Servers write the same name in several ways: capitals, spaces after commas, `\\,` or `\\2c`.
"""

import re

ESCAPED = re.compile(r"\\([0-9A-Fa-f]{2}|.)", re.DOTALL)
PARTS = re.compile(r"((?:\\.|[^\\,+=])*)([,+=]|$)", re.DOTALL)
SPACES = re.compile(r"\s+")


def normal_name(dn: str) -> str:
    """The name in lower case, without optional spaces, each special character escaped by a backslash: `cn=dupont\\, zoé,ou=people`."""
    parts: list[str] = []
    is_value = False  # an equals sign inside a value is part of it
    at = 0
    current = ""
    while at < len(dn):
        match = PARTS.match(dn, at)
        if match is None:  # a lone backslash at the end: not a name, and equal only to itself
            return dn.lower()
        text, separator = match.groups()
        current += text
        at = match.end()
        if separator == "=" and is_value:
            current += "="
            continue
        parts.append(_normal_part(current) + separator)
        current = ""
        is_value = separator == "="
    return "".join(parts)


def _normal_part(text: str) -> str:
    raw = bytearray()
    at = 0
    # Only spaces that are not escaped are optional.
    text = text.strip() + (" " if text.rstrip().endswith("\\") and text.endswith(" ") else "")
    for match in ESCAPED.finditer(text):
        raw += text[at : match.start()].encode()
        raw += bytes.fromhex(match[1]) if len(match[1]) == 2 else match[1].encode()
        at = match.end()
    raw += text[at:].encode()
    plain = SPACES.sub(" ", raw.decode(errors="replace")).lower()
    return re.sub(r'([\\,+"<>;=])', r"\\\1", plain)
