"""What each test would work out again though it is the same every time, kept for the length of the process: a fifth of what tests cost.

Each test builds an application on stores of its own. The templates, the statements and the addresses of all of them are the same ones.
"""

import os
import ssl
from collections.abc import Iterator
from functools import cache
from types import CodeType
from typing import Any

import httpx
import pytest
from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache
from werkzeug.routing.rules import RulePart

from idp.web.matching_rule import MatchingRule


class CompiledTemplates(BytecodeCache):
    """What each template compiled to."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """What was kept of a template whose text is the same."""
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it."""
        assert bucket.code is not None
        self._codes[bucket.key, bucket.checksum] = bucket.code


def keep_templates(patched: pytest.MonkeyPatch) -> None:
    """Applications made from now on share what templates compile to."""
    patched.setattr(Flask, "jinja_options", {"bytecode_cache": CompiledTemplates()})


def keep_statements(patched: pytest.MonkeyPatch) -> None:
    """Stores opened from now on share what SQLAlchemy compiles; two dialects of one kind are one dialect to it."""
    shared: LRUCache[Any, Any] = LRUCache(2_000)
    patched.setattr(Engine, "_compiled_cache", property(lambda engine: shared, lambda engine, its_own: None), raising=False)
    patched.setattr(DefaultDialect, "__eq__", lambda one, other: type(one) is type(other))
    patched.setattr(DefaultDialect, "__hash__", lambda one: hash(type(one)))


def keep_addresses(patched: pytest.MonkeyPatch) -> None:
    """Applications made from now on share what the addresses of their pages are parsed to."""
    parse = MatchingRule._parse_rule
    kept: dict[str, tuple[tuple[RulePart, ...], list[tuple[bool, str]], dict[str, Any]]] = {}

    def remember(rule: MatchingRule, written: str) -> Iterator[RulePart]:
        if written not in kept:
            before = len(rule._trace)
            parts = tuple(parse(rule, written))
            kept[written] = (parts, rule._trace[before:], dict(rule._converters))
        else:
            parts, trace, converters = kept[written]
            rule._trace += trace
            rule._converters.update(converters)
            rule.arguments.update(converters)
        return iter(parts)

    patched.setattr(MatchingRule, "_parse_rule", remember)


def keep_authorities(patched: pytest.MonkeyPatch) -> None:
    """Clients that believe the usual authorities share them: a hundred and forty certificates are read for each otherwise."""
    read = httpx.create_ssl_context
    usual = cache(lambda *named: read())

    def give(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        if verify is not True or cert is not None:
            return read(verify=verify, cert=cert, trust_env=trust_env)
        named = [os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")] if trust_env else []
        return usual(*named) if not any(named) else read()

    patched.setattr("httpx._transports.default.create_ssl_context", give)
