"""The contract of the ephemeral store (idp.store.base.Ephemeral), run on every implementation.

An implementation joins by one entry in OPENERS: a function that makes a place of its own and returns an opener; each call of the opener is another
process's view of that same place.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from idp.config import EphemeralSettings
from idp.store.base import Ephemeral
from idp.store.ephemeral import open_ephemeral
from tests.support.fixed_clock import FixedClock
from tests.support.redis import RedisServer

MINUTE = timedelta(minutes=1)
INSTANT = timedelta(microseconds=1)
THREADS = 8
Opener = Callable[[], Ephemeral]


def embedded(request: pytest.FixtureRequest, clock: FixedClock) -> Opener:
    """SQLite in a file."""
    folder: Path = request.getfixturevalue("tmp_path")
    return lambda: open_ephemeral(EphemeralSettings(url=f"sqlite:///{folder / 'ephemeral.db'}"), clock)


def redis(request: pytest.FixtureRequest, clock: FixedClock) -> Opener:
    """A real Redis."""
    server: RedisServer = request.getfixturevalue("redis_server")
    return lambda: open_ephemeral(EphemeralSettings(url=server.url), clock, connections=THREADS)


OPENERS: dict[str, Callable[[pytest.FixtureRequest, FixedClock], Opener]] = {"embedded": embedded, "redis": redis}


@pytest.fixture(params=sorted(OPENERS))
def opened(request: pytest.FixtureRequest, clock: FixedClock) -> Iterator[Opener]:
    """Open the same place as often as wished; all are closed at the end."""
    opener = OPENERS[request.param](request, clock)
    made: list[Ephemeral] = []

    def make() -> Ephemeral:
        made.append(opener())
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(opened: Opener) -> Ephemeral:
    """One view."""
    return opened()


@pytest.fixture
def neighbour(opened: Opener) -> Ephemeral:
    """Another process's view of the same place."""
    return opened()


def together(act: Callable[[int], object], count: int = THREADS) -> list[object]:
    """The results of `count` threads that begin at the same instant."""
    barrier = threading.Barrier(count)

    def begin(index: int) -> object:
        barrier.wait()
        return act(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def test_store_gives_back_the_bytes_when_they_were_put(store: Ephemeral) -> None:
    value = bytes(range(256)) * 40
    store.put("kind", "key", value, MINUTE)
    assert store.get("kind", "key") == value
    assert isinstance(store.get("kind", "key"), bytes)
    store.put("kind", "empty", b"", MINUTE)
    assert store.get("kind", "empty") == b""
    assert store.take("kind", "empty") == b""


def test_store_gives_nothing_when_nothing_was_put(store: Ephemeral) -> None:
    assert store.get("kind", "key") is None
    assert store.take("kind", "key") is None
    assert store.touch("kind", "key", MINUTE) is False
    assert store.peek("kind", "key") == 0
    store.forget("kind", "key")


def test_store_keeps_kinds_apart_when_keys_are_equal(store: Ephemeral) -> None:
    store.put("a", "key", b"1", MINUTE)
    store.put("b", "key", b"2", MINUTE)
    assert (store.take("a", "key"), store.get("b", "key")) == (b"1", b"2")


def test_store_keeps_keys_apart_when_they_join_to_the_same_text(store: Ephemeral) -> None:
    store.put("a", "b:c", b"1", MINUTE)
    store.put("a:b", "c", b"2", MINUTE)
    assert (store.get("a", "b:c"), store.get("a:b", "c")) == (b"1", b"2")


def test_store_replaces_value_and_life_when_put_again(store: Ephemeral, clock: FixedClock) -> None:
    store.put("kind", "key", b"1", MINUTE)
    clock.advance(timedelta(seconds=50))
    store.put("kind", "key", b"2", MINUTE)
    clock.advance(timedelta(seconds=50))
    assert store.get("kind", "key") == b"2"


@pytest.mark.parametrize("read", ["get", "take"])
def test_store_gives_nothing_when_the_life_is_over(store: Ephemeral, clock: FixedClock, read: str) -> None:
    store.put("kind", "key", b"1", MINUTE)
    clock.advance(MINUTE - INSTANT)
    assert store.get("kind", "key") == b"1"
    clock.advance(INSTANT)
    assert getattr(store, read)("kind", "key") is None
    assert store.touch("kind", "key", MINUTE) is False


def test_store_keeps_a_value_longer_when_touched(store: Ephemeral, clock: FixedClock) -> None:
    store.put("kind", "key", b"1", MINUTE)
    clock.advance(timedelta(seconds=59))
    assert store.touch("kind", "key", MINUTE) is True
    clock.advance(timedelta(seconds=59))
    assert store.get("kind", "key") == b"1"
    clock.advance(timedelta(seconds=1))
    assert store.get("kind", "key") is None


def test_store_adds_only_once_when_the_value_is_there(store: Ephemeral, neighbour: Ephemeral) -> None:
    assert store.add("kind", "key", b"1", MINUTE) is True
    assert store.add("kind", "key", b"2", MINUTE) is False
    assert neighbour.add("kind", "key", b"3", MINUTE) is False
    assert neighbour.get("kind", "key") == b"1"


def test_store_adds_again_when_the_first_is_over_or_taken(store: Ephemeral, clock: FixedClock) -> None:
    store.add("kind", "key", b"1", MINUTE)
    clock.advance(MINUTE)
    assert store.add("kind", "key", b"2", MINUTE) is True
    assert store.take("kind", "key") == b"2"
    assert store.add("kind", "key", b"3", MINUTE) is True


def test_refused_add_does_not_lengthen_the_life(store: Ephemeral, clock: FixedClock) -> None:
    store.add("kind", "key", b"1", MINUTE)
    clock.advance(timedelta(seconds=30))
    store.add("kind", "key", b"2", timedelta(hours=1))
    clock.advance(timedelta(seconds=30))
    assert store.get("kind", "key") is None


def test_store_takes_once_when_asked_twice(store: Ephemeral, neighbour: Ephemeral) -> None:
    store.put("kind", "key", b"1", MINUTE)
    assert neighbour.take("kind", "key") == b"1"
    assert store.take("kind", "key") is None
    assert store.get("kind", "key") is None


def test_counter_counts_within_its_window_and_begins_again_after_it(store: Ephemeral, neighbour: Ephemeral, clock: FixedClock) -> None:
    assert [store.count("kind", "key", MINUTE), neighbour.count("kind", "key", MINUTE)] == [1, 2]
    clock.advance(timedelta(seconds=59))
    assert store.count("kind", "key", MINUTE) == 3
    assert neighbour.peek("kind", "key") == 3
    # The window runs from the first count: a later one does not lengthen it.
    clock.advance(timedelta(seconds=1))
    assert store.peek("kind", "key") == 0
    assert store.count("kind", "key", MINUTE) == 1


def test_peek_does_not_count(store: Ephemeral) -> None:
    store.count("kind", "key", MINUTE)
    assert [store.peek("kind", "key") for _ in range(3)] == [1, 1, 1]


def test_uncount_takes_one_back_and_never_goes_below_nothing(store: Ephemeral, neighbour: Ephemeral, clock: FixedClock) -> None:
    store.uncount("kind", "key")
    assert store.peek("kind", "key") == 0
    store.count("kind", "key", MINUTE)
    store.count("kind", "key", MINUTE)
    clock.advance(timedelta(seconds=30))
    neighbour.uncount("kind", "key")
    assert store.peek("kind", "key") == 1
    store.uncount("kind", "key")
    store.uncount("kind", "key")
    assert store.count("kind", "key", MINUTE) == 1
    # The window is still that of the first count.
    clock.advance(timedelta(seconds=30))
    assert store.peek("kind", "key") == 0


def test_no_step_is_lost_when_many_count_and_uncount_at_once(opened: Opener) -> None:
    stores = [opened(), opened()]
    for _ in range(THREADS * 5):
        stores[0].count("kind", "key", MINUTE)
    together(lambda index: [_count_or_uncount(stores[index % 2], index) for _ in range(10)])
    assert stores[0].peek("kind", "key") == THREADS * 5


def _count_or_uncount(store: Ephemeral, index: int) -> None:
    if index % 2:
        store.uncount("kind", "key")
    else:
        store.count("kind", "key", MINUTE)


def test_counters_and_values_do_not_meet_when_named_alike(store: Ephemeral) -> None:
    store.count("kind", "key", MINUTE)
    assert store.get("kind", "key") is None
    assert store.add("kind", "key", b"1", MINUTE) is True
    assert store.count("kind", "key", MINUTE) == 2


def test_forget_forgets_value_and_counter(store: Ephemeral, neighbour: Ephemeral) -> None:
    store.put("kind", "key", b"1", MINUTE)
    store.count("kind", "key", MINUTE)
    neighbour.forget("kind", "key")
    assert store.get("kind", "key") is None
    assert store.peek("kind", "key") == 0
    assert store.count("kind", "key", MINUTE) == 1


def test_sweep_deletes_only_what_is_over(store: Ephemeral, clock: FixedClock) -> None:
    store.put("kind", "short", b"1", MINUTE)
    store.put("kind", "long", b"1", timedelta(hours=1))
    store.count("kind", "short", MINUTE)
    store.count("kind", "long", timedelta(hours=1))
    assert store.sweep() == 0
    clock.advance(MINUTE)
    assert store.sweep() == 2
    assert store.sweep() == 0
    assert (store.get("kind", "long"), store.peek("kind", "long")) == (b"1", 1)


def test_keys_may_hold_any_text(store: Ephemeral) -> None:
    for key in ("", "' OR 1=1 --", "é\u202e\U0001f600", "a\x00b", "*", "k" * 5000):
        store.put("kind", key, key.encode(), MINUTE)
        assert store.take("kind", key) == key.encode()


def test_one_thread_adds_when_many_add_at_once(opened: Opener) -> None:
    stores = [opened(), opened()]
    for round_number in range(20):
        key = str(round_number)
        results = together(partial(_add, stores, key))
        assert results.count(True) == 1
        winner = stores[0].get("kind", key)
        assert winner == b"%d" % results.index(True)


def test_one_thread_takes_when_many_take_at_once(opened: Opener) -> None:
    stores = [opened(), opened()]
    for round_number in range(20):
        key = str(round_number)
        stores[0].put("kind", key, b"1", MINUTE)
        results = together(partial(_take, stores, key))
        assert results.count(b"1") == 1
        assert results.count(None) == THREADS - 1


def test_no_count_is_lost_when_many_count_at_once(opened: Opener) -> None:
    stores = [opened(), opened()]
    together(lambda index: [stores[index % 2].count("kind", "key", MINUTE) for _ in range(10)])
    assert [store.peek("kind", "key") for store in stores] == [THREADS * 10] * 2


def _add(stores: list[Ephemeral], key: str, index: int) -> bool:
    return stores[index % 2].add("kind", key, b"%d" % index, MINUTE)


def _take(stores: list[Ephemeral], key: str, index: int) -> bytes | None:
    return stores[index % 2].take("kind", key)


def test_another_process_reads_what_one_wrote(store: Ephemeral, neighbour: Ephemeral) -> None:
    store.put("kind", "key", b"1", MINUTE)
    assert neighbour.get("kind", "key") == b"1"
    neighbour.put("kind", "key", b"2", MINUTE)
    assert store.get("kind", "key") == b"2"
    store.ping()
    neighbour.ping()


def test_a_value_outlives_the_process_that_put_it(opened: Opener) -> None:
    first = opened()
    first.put("kind", "key", b"1", MINUTE)
    first.close()
    assert opened().get("kind", "key") == b"1"
