"""The bench's own arithmetic and parsing: nothing here is timed and no server of ours is started."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from bench import chart, failures, page, published, summary, table
from bench.browser import Arrival, Browser, next_form, read_forms, visit
from bench.floor_apps import bare, hello
from bench.http import MalformedResponseError, Response, basic, get, parse_response, post
from bench.load import Flow, FlowError, drive
from bench.processes import Server
from bench.profiling import call, run_flow, where
from bench.series import total_runs
from bench.settings import read
from bench.statistic import Work, floor_cpu_ms, histogram, median, percentile, ratio
from bench.subject import Client, Endpoints, Subject
from bench.workloads import WORKLOADS

SIGN_IN_PAGE = b"""<!doctype html><form action="/language" method="get"><input name="lang" value="en"></form>
<form id="signin-form" method="post" action="/signin/abc">
<input type="hidden" name="csrf_token" value="t&amp;1"><input name="identifier"><input type="checkbox" name="keep">
<input type="password" name="password"><button name="step" value="go">Entrer</button>
<button name="step" value="cancel">Annuler</button></form>"""


def answer(status: int, body: bytes = b"", *headers: str) -> Response:
    head = "\r\n".join([f"HTTP/1.1 {status} X", *headers]).encode()
    return Response(status, head, body)


def run_steps(flow: Flow, steps: list[Response]) -> None:
    for step in steps:
        flow.send(step)


def test_parser_waits_for_more_when_a_response_is_cut_anywhere() -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
    for cut in range(len(whole)):
        assert parse_response(whole[:cut]) is None
    parsed = parse_response(whole + b"HTTP/1.1 404")
    assert parsed is not None
    response, taken = parsed
    assert (response.status, response.body, taken) == (200, b"hello", len(whole))


def test_parser_joins_chunks_when_the_length_is_not_told() -> None:
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
    for cut in range(len(whole)):
        assert parse_response(whole[:cut]) is None
    parsed = parse_response(whole)
    assert parsed is not None
    assert (parsed[0].body, parsed[1]) == (b"hello world", len(whole))


def test_parser_expects_no_body_when_there_is_no_content() -> None:
    assert parse_response(b"HTTP/1.1 204 No Content\r\n\r\n") is not None


@pytest.mark.parametrize("wrong", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nendless"])
def test_parser_refuses_when_the_end_cannot_be_known(wrong: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        parse_response(wrong)


def test_response_tells_location_cookies_and_close_when_they_are_sent() -> None:
    response = answer(
        303,
        b"",
        "Location: /next?a=b",
        "Set-Cookie: __Host-s=v1; Path=/; HttpOnly",
        "set-cookie: old=; Max-Age=0; Path=/",
        "Set-Cookie: gone=; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "Connection: close",
    )
    assert response.location == "/next?a=b"
    assert list(response.set_cookies()) == [("__Host-s", "v1"), ("old", None), ("gone", None)]
    assert response.closes
    assert answer(200).location is None


def test_requests_are_well_formed_when_built() -> None:
    assert get("h:1", "/x?y", {"A": "b"}) == b"GET /x?y HTTP/1.1\r\nHost: h:1\r\nA: b\r\n\r\n"
    head, _, body = post("h:1", "/token", {"a": "b c", "d": "é"}).partition(b"\r\n\r\n")
    assert body == b"a=b+c&d=%C3%A9"
    assert head.endswith(b"Content-Length: %d" % len(body))
    # RFC 6749 section 2.3.1: "a:b" and "c%" are form-encoded before they are joined.
    assert basic("a:b", "c%") == {"Authorization": "Basic YSUzQWI6YyUyNQ=="}


def test_form_reader_finds_what_a_person_fills_when_a_page_has_several_forms() -> None:
    assert len(read_forms(SIGN_IN_PAGE.decode())) == 2
    form = next_form(SIGN_IN_PAGE.decode())
    assert (form.action, form.identifier_field, form.password_field) == ("/signin/abc", "identifier", "password")
    assert form.filled("me", "pw") == {"csrf_token": "t&1", "identifier": "me", "password": "pw", "step": "go"}
    with pytest.raises(FlowError):
        next_form("<p>nothing to fill</p>")


def test_visit_signs_in_when_redirects_and_pages_come_in_any_order() -> None:
    browser, arrival = Browser("127.0.0.1:8400"), Arrival()
    flow = visit(browser, "/authorize?x=1", "http://app.example/cb", ("me", "pw"), arrival)
    assert next(flow).startswith(b"GET /authorize?x=1 ")
    assert flow.send(answer(303, b"", "Location: /signin/abc", "Set-Cookie: i=1; Path=/")).startswith(b"GET /signin/abc")
    sent = flow.send(answer(200, SIGN_IN_PAGE))
    assert sent.startswith(b"POST /signin/abc ")
    assert b"\r\nCookie: i=1\r\n" in sent
    assert b"password=pw" in sent
    assert flow.send(answer(303, b"", "Location: http://127.0.0.1:8400/signin/abc")).startswith(b"GET /signin/abc")
    consent = b'<form method="post" action="?c"><button type="submit" name="ok" value="1">Oui</button></form>'
    assert flow.send(answer(200, consent)).startswith(b"POST /signin/abc?c ")
    with pytest.raises(StopIteration):
        flow.send(answer(303, b"", "Location: http://app.example/cb?code=z"))
    assert arrival.url == "http://app.example/cb?code=z"


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([answer(500, b"")], "status 500"),
        ([answer(303, b"", "Location: http://elsewhere.example/")], "another host"),
        ([answer(200, SIGN_IN_PAGE), answer(200, SIGN_IN_PAGE)], "not accepted"),
        ([answer(303, b"", "Location: /again")] * 20, "too many"),
    ],
)
def test_visit_fails_when_the_server_does_the_unexpected(steps: list[Response], said: str) -> None:
    flow = visit(Browser("127.0.0.1:8400"), "/authorize", "http://app.example/cb", ("me", "pw"), Arrival())
    next(flow)
    with pytest.raises(FlowError, match=said):
        run_steps(flow, steps)


def test_visit_fails_when_a_silent_answer_shows_a_page() -> None:
    flow = visit(Browser("127.0.0.1:8400"), "/authorize", "http://app.example/cb", None, Arrival())
    next(flow)
    with pytest.raises(FlowError):
        flow.send(answer(200, SIGN_IN_PAGE))


def test_endpoints_are_paths_when_read_from_discovery() -> None:
    document = (
        b'{"authorization_endpoint":"http://h/authorize","token_endpoint":"http://h/token",'
        b'"userinfo_endpoint":"http://h/me","introspection_endpoint":"http://h/introspect"}'
    )
    assert Endpoints.read(document, "/d") == Endpoints("/d", "/authorize", "/token", "/me", "/introspect")
    with pytest.raises(KeyError):
        Endpoints.read(b"{}", "/d")


def test_percentile_is_nearest_rank_when_values_are_unordered() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, p) for p in (1, 50, 99, 100)] == [1.0, 50.0, 99.0, 100.0]
    assert percentile([7.0], 99) == 7.0
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5
    for summarise in (median, lambda empty: percentile(empty, 50)):
        with pytest.raises(ValueError, match="no values"):
            summarise([])


def test_histogram_counts_every_value_when_some_lie_beyond_the_edges() -> None:
    told = histogram([-1.0, 0.5, 1.0, 1.5, 9.0], [0.0, 1.0, 2.0], width=3)
    assert [line.rsplit(" ", 1)[1] for line in told] == ["2", "3"]
    assert told[1].count("#") == 3


FLOORS = {
    "flask_hello": 130.0,
    "jwt_sign_rs256": 390.0,
    "jwt_sign_es256": 60.0,
    "jwt_verify_rs256": 46.0,
    "jwt_verify_es256": 110.0,
    "sqlite_transaction": 60.0,
    "sqlite_select": 7.0,
    "argon2id": 25000.0,
}


def test_floor_matches_the_arithmetic_of_the_design_when_given_its_figures() -> None:
    client_credentials = Work(signs=1, transactions=1)
    assert floor_cpu_ms(client_credentials, 1, "ES256", FLOORS) == pytest.approx(0.25)
    assert floor_cpu_ms(client_credentials, 1, "RS256", FLOORS) == pytest.approx(0.58)
    assert floor_cpu_ms(Work(signs=2, transactions=1), 1, "RS256", FLOORS) == pytest.approx(0.97)
    assert floor_cpu_ms(Work(hashes=1), 2, "ES256", FLOORS) == pytest.approx(25.26)
    assert ratio(3.0, 1.5) == 2.0
    assert ratio(3.0, None) is None


def test_best_durable_is_the_fastest_row_on_disk_when_others_are_faster_in_memory() -> None:
    assert {key: published.best_durable(key).rates[key] for key in ("W1", "W2", "W3", "W4", "W5", "W6", "W7")} == {
        "W1": 388,
        "W2": 110,
        "W3": 25,
        "W4": 64,
        "W5": 1014,
        "W6": 1109,
        "W7": 18488,
    }


def run(workload: str, **changed: Any) -> dict[str, Any]:
    base = {
        "subject": "Vestibule",
        "alg": "ES256",
        "is_ours": True,
        "workload": workload,
        "round": 0,
        "valid": True,
        "rate": 1000.0,
        "flows": 5000,
        "requests_per_flow": 1.0,
        "cpu_ms": 0.5,
        "p50_ms": 15.0,
        "p99_ms": 30.0,
        "rss_mb": 90.0,
        "rss_all_mb": 150.0,
        "generator_share": 0.1,
        "failures": {},
    }
    return base | changed


def result(*runs: dict[str, Any]) -> dict[str, Any]:
    measured = {"cpu_us": 100.0, "wall_us": 110.0}
    names = [*FLOORS, "rs256_sign", "es256_sign", "es256_verify", "bare_wsgi"]
    names += ["sqlite_transaction_full", "sqlite_transaction_normal"]
    return {
        "name": "2026-11-22-1200-series",
        "date": "2026-11-22",
        "machine": {
            "cpu": "A processor",
            "cores": 2,
            "memory_gb": 8.0,
            "kernel": "6.1",
            "python": "3.11",
            "sqlite": "3.40",
            "load_average_at_start": 0.0,
            "packages": {"flask": "3.1"},
        },
        "settings": {"rounds": 3, "seconds": 5.0, "connections": 16},
        "sqlite_synchronous": "full",
        "floors": dict.fromkeys(names, measured),
        "subjects": [],
        "runs": list(runs),
        "failures": [{"kind": "wrong password", "milliseconds": [30.0, 31.0], "answers": {"status 200": 2}}],
    }


def test_summary_takes_medians_of_valid_rounds_when_one_is_not() -> None:
    spoiled = run("W1", rate=9000.0, valid=False, failures={"status 500": 3})
    (line,) = summary.lines(result(run("W1", rate=900.0), run("W1", rate=1100.0), spoiled))
    assert (line.rate, line.rounds, line.invalid, line.failures) == (1000.0, 2, 1, ("status 500",))
    # One request through the web layer, one signature, one transaction, each 0.1 ms here.
    assert line.floor_ms == pytest.approx(0.3)
    assert line.times_floor == pytest.approx(0.5 / 0.3)
    assert line.spread == pytest.approx(0.2)


def test_summary_compares_with_the_peer_of_the_same_run_when_it_signs_alike() -> None:
    peer = {"subject": "node-oidc-provider", "is_ours": False}
    lines = summary.lines(result(run("W1"), run("W1", **peer, rate=500.0), run("W1", **peer, alg="RS256", rate=1.0), run("W2")))
    assert [(line.workload, summary.times_peer(line, lines)) for line in lines if line.is_ours] == [
        ("W1", 2.0),
        ("W2", None),
    ]
    assert summary.times_durable(lines[0]) == pytest.approx(1000 / 388)


def test_summary_corrects_published_rows_for_the_machine_when_its_floors_are_known() -> None:
    """A machine that takes twice as long for everything is as good as one that serves half as many."""
    (line,) = summary.lines(result(run("W1")))
    slower = {name: {"cpu_us": 2 * then} for name, then in published.MACHINE_US.items()}
    assert summary.times_durable_here(line, slower) == pytest.approx(2 * 1000 / 388)
    assert summary.times_durable_here(line, {}) == summary.times_durable(line)


def test_page_says_what_was_not_reached_when_a_workload_falls_short() -> None:
    kept = result(run("W1", rate=400.0), run("W7", rate=6000.0), run("W2", valid=False, failures={"status 500": 1}))
    text = page.markdown(kept, summary.lines(kept))
    assert "Below three times the best durable published row on this machine: W1 ES256, W7 ES256." in text
    assert "INVALID W2 Vestibule ES256, 1 round(s): status 500" in text
    assert published.SOURCE in text
    assert "INVALID W2" in table.printed(kept)


def test_page_and_chart_are_written_when_nothing_of_ours_was_measured() -> None:
    kept = result(run("W1", subject="node-oidc-provider", is_ours=False))
    assert "nothing to compare" in page.markdown(kept, summary.lines(kept))
    assert chart.draw(summary.lines(kept)).startswith("<svg ")
    assert chart.draw([]).endswith("</svg>\n")


def test_failures_are_told_on_common_edges_when_described() -> None:
    text = failures.describe(
        [
            {"kind": "wrong password", "milliseconds": [30.0, 31.0, 32.0], "answers": {"status 200": 3}},
            {"kind": "suspended", "milliseconds": [30.5, 31.5, 40.0], "answers": {"status 200": 3}},
        ]
    )
    first, second = text.split("\n\n")
    assert first.startswith("wrong password: n=3 p50 31.0 ms, p90 32.0 ms, p99 32.0 ms (3 x status 200)")
    assert [line[:19] for line in first.splitlines()[1:]] == [line[:19] for line in second.splitlines()[1:]]


def test_profile_calls_the_application_when_given_the_bytes_of_a_request() -> None:
    def flow(request: bytes) -> Flow:
        response = yield request
        if b"world" not in response.body:
            raise FlowError(str(response.status))

    for application in (bare, hello):
        assert call(application, get("127.0.0.1:80", "/")).status == 200
        run_flow(application, flow(get("127.0.0.1:80", "/")))
    with pytest.raises(FlowError, match="405"):
        run_flow(hello, flow(post("127.0.0.1:80", "/", {"a": "b"})))


@pytest.mark.parametrize(
    ("filename", "name", "expected"),
    [
        ("/x/lib/site-packages/flask/app.py", "f", ("flask, werkzeug, jinja", "flask/app.py")),
        ("/x/project/idp/store/grants.py", "f", ("idp.store", "idp/store/grants.py")),
        ("/x/project/idp/crypto.py", "f", ("idp.crypto", "idp/crypto.py")),
        ("/x/project/bench/http.py", "f", ("bench", "bench/http.py")),
        ("/usr/lib/python3.11/json/encoder.py", "f", ("python", "encoder.py")),
        ("~", "<method 'execute' of 'sqlite3.Connection' objects>", ("sqlite", "built-in")),
    ],
)
def test_profile_names_a_layer_and_no_path_of_the_machine_when_it_places_a_function(
    filename: str, name: str, expected: tuple[str, str]
) -> None:
    assert where(filename, name) == expected


def test_settings_refuse_when_a_workload_or_peer_is_unknown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("PEER", raising=False)
    assert read(["--quick", "--workloads", "w1,W7", "--alg", "ES256"]).workloads == ("W1", "W7")
    assert read([]).peer is None
    monkeypatch.setenv("PEER", "node-oidc-provider")
    assert read([]).peer == "node-oidc-provider"
    monkeypatch.setenv("PEER", "node-oidc-provider,lemonldap-ng")
    assert read([]).peer == "node-oidc-provider,lemonldap-ng"
    monkeypatch.setenv("PEER", "another")
    for arguments in ([], ["--workloads", "W9", "--peer", "node-oidc-provider"]):
        with pytest.raises(SystemExit):
            read(arguments)
    assert "no such peer: another" in capsys.readouterr().err


def test_subject_is_left_out_when_it_declares_the_workloads_it_can_run() -> None:
    def subject(workloads: tuple[str, ...]) -> Subject:
        return Subject(
            name="peer",
            alg="RS256",
            store="files",
            password_hash="none",
            version="1",
            server=Server(0, ()),
            endpoints=Endpoints("/d", "/a", "/t", "/u", "/i"),
            client=Client("bench", "secret", "http://127.0.0.1:9/callback"),
            identifiers=("personne0",),
            password="password",
            is_ours=False,
            workloads=workloads,
        )

    asked = [WORKLOADS["W2"], WORKLOADS["W3"]]
    assert total_runs([subject(()), subject(("W1", "W3"))], asked, rounds=2) == 6
    assert [subject(("W3",)).runs(workload.key) for workload in asked] == [False, True]


def test_generator_counts_flows_and_failures_when_the_server_closes_and_errs() -> None:
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
    ]
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        waiting = list(answers)
        while waiting:
            connection, _ = listener.accept()
            with connection:
                while waiting and connection.recv(4096):
                    told = waiting.pop(0)
                    connection.sendall(told)
                    if b"close" in told:
                        break

    def flow() -> Flow:
        for _ in answers:
            response = yield get("127.0.0.1", "/")
            if response.status != 200:
                raise FlowError(f"status {response.status}")

    server = threading.Thread(target=serve)
    server.start()
    seen = drive(listener.getsockname(), [flow], 0)
    server.join(5)
    listener.close()
    assert (seen.requests, seen.latencies, seen.failures) == (3, (), {"status 500": 1})
