"""What bench.directory is made of: arrivals, the people of its slapd, goals and page. Nothing here is timed, no server of ours is started."""

import json
import socket
import threading
from typing import Any

import pytest

from bench import directory_chart, directory_page, hung, shift_change, size, slapd
from bench.arrivals import Arrivals, label, poisson
from bench.directory import read
from bench.http import get
from bench.load import Flow, FlowError


def serve(listener: socket.socket, connections: int) -> None:
    for _ in range(connections):
        connection, _ = listener.accept()
        with connection:
            while asked := connection.recv(4096):
                body = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" if b"/broken" in asked else body)


def test_arrivals_count_pages_and_failures_when_people_come_at_their_time() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = threading.Thread(target=serve, args=(listener, 3))
    server.start()
    turns = iter(("/one", "/broken", "/one"))

    def flow() -> Flow:
        response = yield get("127.0.0.1", f"{next(turns)}/page?x=1")
        if response.status != 200:
            raise FlowError(f"status {response.status}")
        yield get("127.0.0.1", "/two")

    seen = Arrivals(listener.getsockname(), flow, iter((0.0, 0.01, 0.02))).measure()
    server.join(5)
    listener.close()
    assert seen.arrived == [0.0, 0.01, 0.02]
    assert {name: len(seconds) for name, seconds in seen.requests.items()} == {"GET /one": 2, "GET /broken": 1, "GET /two": 2}
    assert (len(seen.answered), len(seen.flows), dict(seen.failures)) == (2, 2, {"status 500": 1})
    assert all(seconds >= 0 for seconds in seen.flows)


def test_arrivals_fail_each_flow_when_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    seen = Arrivals(address, lambda: iter(()), iter((0.0, 0.0))).measure()  # type: ignore[arg-type, return-value]
    assert seen.failures.total() == 2
    assert seen.answered == []


def test_arrivals_come_at_the_rate_asked_when_drawn() -> None:
    times = list(poisson(40, 60, 1))
    assert times == sorted(times) == list(poisson(40, 60, 1))
    assert 2100 < len(times) < 2700
    assert times[-1] < 60


def test_pages_are_called_by_method_and_first_part_when_labelled() -> None:
    assert label(b"GET /authorize?client_id=a/b HTTP/1.1\r\n") == "GET /authorize"
    assert label(b"POST /signin/01K0?x HTTP/1.1\r\n") == "POST /signin"


def test_everybody_is_in_one_group_of_a_home_when_the_directory_is_made() -> None:
    text = slapd.ldif(40, 4)
    groups = [block for block in text.split("\n\n") if "groupOfNames" in block]
    names = {line.removeprefix("cn: ") for block in groups for line in block.splitlines() if line.startswith("cn: ")}
    assert names == {f"{slug}-{kind}" for slug in slapd.slugs(4) for kind in ("ide", "aides")}
    assert sum(line.startswith("member") for block in groups for line in block.splitlines()) == 40
    assert text.count("objectClass: inetOrgPerson") == 40


def test_nobody_comes_twice_when_not_everybody_has_come() -> None:
    turns = slapd.in_turn(slapd.uids(50), 1)
    first = [next(turns) for _ in range(50)]
    assert sorted(first) == list(slapd.uids(50))
    assert first != sorted(first)


def result(*, large_ms: float, hung_rate: float, p99_ms: float, failures: dict[str, int]) -> dict[str, Any]:
    about = {"at": "2026-11-22 12:00", "load_average": 0.1, "people": 30_000, "establishments": 400, "store": "SQLite", "command": "x"}
    figures = {"slapd_cpu_ms": 1.0, "p50_ms": 9.0, "p99_ms": 20.0, "rate": 80.0, "rss_mb": 100.0, "flows": 9, "failures": {}}
    sync = {"what": "first", "people": 30_000, "seconds": 240.0, "people_per_second": 125.0, "cpu_seconds": 160.0}
    tries = {"tries": 40, "signed_in": 0, "refused": {"status 503": 40}, "post_p50_ms": 20.0, "post_most_ms": 5000.0}
    page = shift_change.figures([p99_ms / 1000])
    beside = {"worst_second": 1.0, "p50_ms": 1.0, "p99_ms": 2.0, "cpu_share": 1.0, "failures": {}, "tries": tries, "round": 0}
    rounds = [
        {**beside, "workload": key, "condition": condition, "rate": hung_rate if condition == "hung" else 100.0}
        for key in hung.WORKLOADS_BESIDE
        for condition in hung.CONDITIONS
    ]
    run = {
        "asked_seconds": 60.0,
        "rate": 40.0,
        "people": 30_000,
        "seconds": 60.0,
        "arrived": 2400,
        "answered": 2400 - sum(failures.values()),
        "failures": failures,
        "pages": {"GET /authorize": page, "POST /signin": page},
        "whole": page,
        "arrived_by_second": shift_change.per_second([0.1, 1.2, 1.3]),
        "answered_by_second": [1, 2, 0],
        **dict.fromkeys(("latest_beginning_ms", "generator_cpu_seconds", "server_cpu_seconds", "slapd_cpu_seconds"), 1.0),
        **dict.fromkeys(("slapd_rss_mb", "rss_mb", "rss_all_mb", "rss_first_mb", "rss_last_mb"), 100.0),
    }
    return {
        "name": "2026-11-22-1200-directory",
        "date": "2026-11-22",
        "machine": {"cpu": "A processor", "cores": 2, "memory_gb": 8.0, "kernel": "6.1", "python": "3.11", "sqlite": "3.40"},
        "parts": {
            "size": {
                **about,
                "sync": [{**sync, "slapd_cpu_seconds": 2.0, "peak_rss_mb": 138.0}],
                "rounds": [{"group": "small", "cpu_ms": 10.0, **figures}, {"group": "large", "cpu_ms": large_ms, **figures}],
                "connections": 4,
                "seconds": 12.0,
                "few": 12,
            },
            "hung": {**about, "rounds": rounds, "tries": 4.0, "seconds": 12.0, "connections": 16},
            "shift": {**about, "runs": [run]},
        },
    }


def test_page_says_that_every_goal_is_reached_when_it_is() -> None:
    kept = json.loads(json.dumps(result(large_ms=11.0, hung_rate=95.0, p99_ms=120.0, failures={})))
    assert all(goal.is_reached for goal in directory_page.goals(kept))
    assert "Every goal is reached." in directory_page.markdown(kept)
    assert directory_chart.draw(kept["parts"]["shift"]["runs"][0]).startswith("<svg ")


def test_page_says_what_was_missed_when_goals_are_not_reached() -> None:
    kept = result(large_ms=13.0, hung_rate=80.0, p99_ms=420.0, failures={"status 503 at signin": 3})
    assert [goal.seen for goal in directory_page.goals(kept)] == ["1.30", "0.80", "0.80", "0.80", "420 ms (GET /authorize)", "3 of 2400"]
    assert "6 of 6 goals missed." in directory_page.markdown(kept)
    assert directory_page.verdicts(kept)[0].startswith("MISSED")


def test_page_shows_the_parts_that_were_measured_when_others_were_not() -> None:
    kept = result(large_ms=11.0, hung_rate=95.0, p99_ms=120.0, failures={})
    del kept["parts"]["size"], kept["parts"]["shift"]
    text = directory_page.markdown(kept)
    assert "## A hung directory" in text
    assert "## Size" not in text


def test_ratio_is_unknown_when_a_group_has_no_valid_round() -> None:
    rounds = result(large_ms=11.0, hung_rate=95.0, p99_ms=1.0, failures={})["parts"]["size"]["rounds"]
    rounds[0]["failures"] = {"status 500": 1}
    assert size.size_ratio(rounds, "cpu_ms") is None


def test_command_line_is_refused_when_it_makes_no_sense() -> None:
    assert read(["--minutes", "1,10", "--parts", "shift"]).minutes == (1.0, 10.0)
    assert not read(["--people", "300"]).is_whole
    for arguments in (["--parts", "nothing"], ["--minutes", "x"], ["--rounds", "0"], ["--people", "12"]):
        with pytest.raises(SystemExit):
            read(arguments)
