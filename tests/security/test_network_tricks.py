"""Headers that would make somebody outside seem inside, through a real nginx (and two in a row, and around them) to a real server.

nginx keeps what the client sent and appends the true peer, the most usual set-up and the one that tricks aim at. The zone that the audit trail
records is what is looked at: RFC 7239, and the ways in which proxies and servers have been fooled.
"""

import itertools
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from idp.config import load
from idp.store.database import Database
from tests.support.cast import AT_GLYCINES, AT_TILLEULS
from tests.support.listener import Listener
from tests.support.live import LiveServer, live_server
from tests.support.nginx import APPENDING, nginx_before
from tests.support.processes import free_port
from tests.support.stores import Stores
from tests.support.world import open_database

pytestmark = pytest.mark.slow

INNER, OUTER = "127.0.0.8", "127.0.0.7"  # our two proxies: OUTER meets the client in the long way
STRANGER = "127.0.0.9"  # an address of nobody
IN = "10.20.0.5"  # within Les Tilleuls
HERE = AT_TILLEULS
XFF, FWD = "X-Forwarded-For: ", "Forwarded: "

TRICKS: dict[str, tuple[str | bytes, ...]] = {
    "no header": (),
    "inside on the left": (f"{XFF}{IN}",),
    "inside twice": (f"{XFF}{IN}, {IN}",),
    "several lines": (f"{XFF}{IN}", f"{XFF}{HERE}", f"{XFF}{IN}"),
    "line in other case": (f"x-fORWARDED-fOR: {IN}",),
    "underscores for dashes": (f"X_Forwarded_For: {IN}",),
    "both spellings": (f"X_Forwarded_For: {IN}", f"{XFF}{IN}"),
    "space before the colon": (f"X-Forwarded-For : {IN}",),
    "our inner proxy last": (f"{XFF}{IN}, {INNER}",),
    "our outer proxy last": (f"{XFF}{IN}, {OUTER}",),
    "a chain of ours": (f"{XFF}{IN}, {OUTER}, {INNER}, {OUTER}, {INNER}",),
    "inside last, ours before": (f"{XFF}{INNER}, {IN}",),
    "empty": (XFF,),
    "only commas": (f"{XFF},,,,",),
    "trailing comma": (f"{XFF}{IN},",),
    "empty elements": (f"{XFF}{IN}, , ,",),
    "tabs": (f"{XFF}\t{IN}\t,\t{IN}\t",),
    "a port": (f"{XFF}{IN}:443",),
    "a port that is none": (f"{XFF}{IN}:99999",),
    "brackets around IPv4": (f"{XFF}[{IN}]",),
    "mapped": (f"{XFF}::ffff:{IN}",),
    "mapped in hexadecimal": (f"{XFF}::ffff:0a14:0005",),
    "mapped in brackets with a port": (f"{XFF}[::ffff:{IN}]:80",),
    "compatible": (f"{XFF}::{IN}",),
    "translated (RFC 6052)": (f"{XFF}64:ff9b::{IN}",),
    "6to4": (f"{XFF}2002:0a14:0005::1",),
    "loopback in IPv6": (f"{XFF}::1",),
    "loopback in IPv6 with a zone id": (f"{XFF}::1%lo",),
    "zone id encoded": (f"{XFF}[::1%25lo]",),
    "unknown": (f"{XFF}unknown",),
    "unknown after inside": (f"{XFF}{IN}, unknown",),
    "an obfuscated identifier": (f"{XFF}{IN}, _secret",),
    "octal": (f"{XFF}012.024.000.005",),
    "one number": (f"{XFF}169082885",),
    "hexadecimal": (f"{XFF}0x0a140005",),
    "short form": (f"{XFF}10.1310725",),
    "full-width digits": (f"{XFF}１０.２０.０.５".encode(),),
    "Arabic digits": (f"{XFF}١٠.٢٠.٠.٥".encode(),),
    "an invisible character": (f"{XFF}10.20.0.5\u200b".encode(),),
    "bytes that are not UTF-8": (b"X-Forwarded-For: 10.20.0.5\xff\xfe",),
    "blanked, and Forwarded instead": (b"X-Forwarded-For: \xff", f"{FWD}for={IN}"),
    "a NUL": (f"{XFF}{IN}\0, {IN}".encode(),),
    "a folded line": (f"{XFF}{IN},", f" {IN}"),
    "a bare carriage return": (f"{XFF}{IN}\r{XFF}{IN}",),
    "quotes": (f'{XFF}"{IN}"',),
    "an open quote": (f'{XFF}"{IN}, ',),
    "semicolons": (f"{XFF}{IN};{IN}",),
    "spaces for commas": (f"{XFF}{IN} {IN}",),
    "Forwarded's syntax": (f"{XFF}for={IN}",),
    "very many": (XFF + ", ".join([IN] * 400),),
    "very long": (f"{XFF}{'1' * 3000}, {IN}",),
    "Forwarded": (f"{FWD}for={IN}",),
    "Forwarded in other case": (f"forwarded: FOR={IN};PROTO=https",),
    "Forwarded quoted": (f'{FWD}for="{IN}:4711"',),
    "Forwarded with escapes": (f'{FWD}for="10\\.20.0.5"',),
    "Forwarded, mapped": (f'{FWD}for="[::ffff:{IN}]"',),
    "Forwarded, several elements": (f"{FWD}for={IN}, for={INNER}", f"{FWD}for={OUTER}"),
    "Forwarded, several names": (f"{FWD}for={STRANGER};for={IN}",),
    "Forwarded, an open quote": (f'{FWD}for="{IN}, for={INNER}',),
    "Forwarded, a comma in a host": (f'{FWD}host="a, for={IN}";for={IN}',),
    "Forwarded, unknown": (f"{FWD}for={IN}, for=unknown",),
    "Forwarded, by": (f"{FWD}by={IN};for={IN};host={IN}",),
    "Forwarded that agrees on the left": (f"{XFF}{IN}", f"{FWD}for={IN}"),
    "Forwarded that copies the peer and more": (f"{FWD}for={IN}, for={STRANGER}, for={INNER}",),
    "an empty Forwarded": (FWD, f"{XFF}{IN}"),
    "other headers": tuple(
        f"{name}: {IN}"
        for name in (
            *(
                "X-Real-IP",
                "X-Client-IP",
                "True-Client-IP",
                "CF-Connecting-IP",
                "Client-IP",
                "Via",
                "X-Cluster-Client-IP",
                "Fastly-Client-IP",
            ),
            *(
                "X-Originating-IP",
                "X-Remote-IP",
                "X-Remote-Addr",
                "Remote-Addr",
                "X-ProxyUser-Ip",
                "X-Forwarded",
                "Forwarded-For",
                "X-Host",
            ),
        )
    ),
    "told by the connection header": ("Connection: close, X-Forwarded-For", f"{XFF}{IN}"),
    "a proxy protocol line": (f"PROXY TCP4 {IN} 127.0.0.1 4711 80",),
    "an absolute host": (f"X-Forwarded-Host: {IN}", f"X-Forwarded-Server: {IN}", f"{XFF}{IN}"),
}


@dataclass(frozen=True, slots=True)
class Front:
    """A server, the ways to it, and the trail that it writes."""

    ways: dict[str, tuple[str, int]]
    database: Database

    def send(self, way: str, headers: tuple[str | bytes, ...], *, peer: str, mark: str) -> bytes:
        """One request from a peer address with exactly these header lines; the status line of the answer."""
        lines = [
            *(b"POST /token HTTP/1.1", b"Host: localhost", b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: 29"),
            b"User-Agent: " + mark.encode(),
            *(line if isinstance(line, bytes) else line.encode("latin-1") for line in headers),
            *(() if any(str(line).startswith("Connection") for line in headers) else (b"Connection: close",)),
        ]
        with closing(socket.create_connection(self.ways[way], timeout=20, source_address=(peer, 0))) as connection:
            connection.sendall(b"\r\n".join(lines) + b"\r\n\r\ngrant_type=authorization_code")
            return connection.makefile("rb").readline()

    def recorded(self) -> dict[str, dict[str, Any]]:
        """What the trail says, by the mark in the user agent."""
        with self.database.read() as tx:
            return {line["user_agent"]: line for line in tx.events.newest(20_000)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener, stores: Stores) -> Iterator[LiveServer]:
    """A server that believes our two proxies, and them only."""
    settings = {"server": {"trusted_proxies": [INNER, OUTER]}}
    with live_server(tmp_path_factory.mktemp("tricks"), session_listener, settings, stores=stores) as running:
        yield running


@pytest.fixture(scope="module")
def front(server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """nginx before it, another nginx before that one, and the way around both."""
    folder: Path = tmp_path_factory.mktemp("fronts")
    own = urlsplit(server.issuer).port or 0
    near, far = free_port(), free_port()
    inner = nginx_before(folder / "near", near, [f"127.0.0.1:{own}"], ready="/healthz", proxy=APPENDING.replace("{bind}", INNER))
    outer = nginx_before(folder / "far", far, [f"127.0.0.1:{near}"], ready="/healthz", proxy=APPENDING.replace("{bind}", OUTER))
    database = open_database(load(server.config_path))
    with inner, outer:
        yield Front({"nginx": ("127.0.0.1", near), "two": ("127.0.0.1", far), "around": ("127.0.0.1", own)}, database)
    database.close()


def test_there_are_tricks_enough() -> None:
    assert len(TRICKS) >= 60


@pytest.mark.parametrize("way", ["nginx", "two", "around"])
def test_people_inside_are_seen_inside_and_the_others_outside_when_nobody_plays_tricks(front: Front, way: str) -> None:
    expected = {AT_TILLEULS: "tilleuls/lan", AT_GLYCINES: "glycines/lan", STRANGER: "outside"}
    for peer in expected:
        assert b" 401 " in front.send(way, (), peer=peer, mark=f"plain {way} {peer}")
    recorded = front.recorded()
    assert {peer: recorded[f"plain {way} {peer}"]["zone"] for peer in expected} == expected
    assert {peer: recorded[f"plain {way} {peer}"]["address"] for peer in expected} == {peer: peer for peer in expected}


@pytest.mark.parametrize("way", ["nginx", "two", "around"])
def test_no_header_ever_turns_outside_into_inside(front: Front, way: str) -> None:
    answers = {name: front.send(way, headers, peer=STRANGER, mark=f"{way} {name}") for name, headers in TRICKS.items()}
    recorded = front.recorded()
    heard = {name: recorded[f"{way} {name}"] for name in TRICKS if f"{way} {name}" in recorded}
    wrong = {name: line["zone"] for name, line in heard.items() if (line["zone"], line["zone_kind"]) != ("outside", "outside")}
    assert wrong == {}
    # The address is the stranger's own, or one of our proxies where the two headers disagree: never one that was written by the stranger.
    assert {line["address"] for line in heard.values()} <= {STRANGER, INNER, OUTER}
    assert all((line["zone_why"] == "address_doubtful") == (line["address"] != STRANGER) for line in heard.values())
    # What is not in the trail was refused as no HTTP at all, before anybody read it.
    assert {name for name in TRICKS if name not in heard} <= {name for name, answer in answers.items() if b" 400 " in answer or not answer}
    assert len(heard) >= 50


@pytest.mark.parametrize("way", ["nginx", "two", "around"])
def test_nobody_of_another_establishment_ever_seems_to_be_here(front: Front, way: str) -> None:
    for name, headers in TRICKS.items():
        front.send(way, headers, peer=AT_GLYCINES, mark=f"other {way} {name}")
    recorded = front.recorded()
    zones = {name: recorded[f"other {way} {name}"]["zone"] for name in TRICKS if f"other {way} {name}" in recorded}
    assert set(zones.values()) <= {"glycines/lan", "outside"}
    assert len(zones) >= 50
    assert zones["inside on the left"] == "glycines/lan"


def test_pairs_of_tricks_do_no_more_than_each(front: Front) -> None:
    # Found so: a byte that blanked X-Forwarded-For left Forwarded, which nginx passes on as it is, to be believed.
    lines = [headers for name, headers in TRICKS.items() if name not in {"very many", "very long"}]
    pairs = list(itertools.combinations(lines, 2))
    for number, (one, other) in enumerate(pairs):
        front.send("nginx", (*one, *other), peer=STRANGER, mark=f"pair {number}")
    recorded = {mark: line for mark, line in front.recorded().items() if mark.startswith("pair ")}
    assert {mark: pairs[int(mark.split()[1])] for mark, line in recorded.items() if line["zone"] != "outside"} == {}
    assert len(recorded) >= 1_000
