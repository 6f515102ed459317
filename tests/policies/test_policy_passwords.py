"""policies.passwords: the CNIL's cases, the French list, and the ways people get around both."""

from __future__ import annotations

import random
import string
import time
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.password_patterns import count_points, fold, repeated_unit
from policies.passwords import BlockList, PasswordFacts, check, entropy_bits

LINES = tuple((files("policies") / "data" / "passwords_fr.txt").read_text(encoding="utf-8").splitlines())
BLOCKED = BlockList.from_lines(LINES)
ENTRIES = tuple(line for line in LINES if line and not line.startswith("# "))
SOME = BlockList.from_lines(["azerty", "Netsoins", "soleil", "Les Tilleuls", "123456"])
SOME_SMALL = BlockList.from_lines(["azerty"])
NOBODY = BlockList.from_lines([])


def _codes(password: str, *personal_words: str, blocked: BlockList = BLOCKED) -> tuple[str, ...]:
    return check(PasswordFacts(password, personal_words), blocked)


@pytest.mark.parametrize(
    "password",
    [
        "kT7#mq9$Zv2w",
        "Kt7mq9Zv2wPb4x",
        "Trajet7*Rideau4_Bol",
        "lampe vélo trottoir nuage cerise bouton fenêtre",
        "lampe-velo-trottoir-nuage-cerise-bouton-fenetre",
        "xqvrmzpdwkfhjbtgcy",
        "Le-chat-est-gris-7",
        "Éléphant-Bleu-42-Gare",
        "мой-Пароль-очень-Длинный-9",
    ],
)
def test_a_good_password_is_accepted(password: str) -> None:
    assert _codes(password, "marie.durand@lestilleuls.example", "Les Tilleuls") == ()


@pytest.mark.parametrize(
    ("password", "codes"),
    [
        ("", {"too_short"}),
        ("kT7#mq9", {"too_short"}),
        ("kT7#mq9$", {"too_short"}),
        ("kT7#mq9$Zv2", {"too_short"}),
        ("kT7mq9Zv2wXc", {"not_enough_classes"}),
        ("kT7mq9Zv2wXcb", {"not_enough_classes"}),
        ("kvtmqzwxjrbpdf", {"not_enough_classes"}),
        ("correct horse battery staple", {"not_enough_classes"}),
        ("84629175301928374650", {"not_enough_classes"}),
        ("j'aime bien les longues promenades", {"not_enough_classes"}),
        ("x" * 1025, {"too_long"}),
        ("é" * 513, {"too_long"}),
    ],
)
def test_a_password_outside_the_published_cases_is_refused(password: str, codes: set[str]) -> None:
    found = set(_codes(password, blocked=NOBODY)) - {"repeated", "too_predictable"}
    assert found == codes


@pytest.mark.parametrize(
    "password",
    [
        "netsoins2024",
        "Netsoins2024!",
        "Azerty123!",
        "4z3rty123!AZ",
        "Azerty123!Ab",
        "P@ssw0rd2024!",
        "M0td3p@sse!2026",
        "Motdepasse-Netsoins2024",
        "Soleil-Paris7!",
        "Lou1$2024!!!!",
        "N.e.t.s.o.i.n.s.2024",
        "2024Netsoins!!",
        "***Été-2024***",
        "Les Tilleuls 2024 !",
        "azertyuiopqsdfghjklm",
        "Infirmière2025$",
        "AllezLOM2024!!",
        "Jetaimemaman1!",
    ],
)
def test_a_listed_word_is_refused_whatever_is_put_around_it(password: str) -> None:
    assert "blocked" in _codes(password)


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("aaaaaaaaaaaaaaaaaA1!", "repeated"),
        ("Azerty123!Azerty123!", "repeated"),
        ("kT7#kT7#kT7#kT7#", "repeated"),
        ("abababababababababab", "repeated"),
        ("non non non non non non non", "repeated"),
        ("Abcdefghijklmnop1!", "too_predictable"),
        ("1A2z3e4r5t6y7u8i!", "too_predictable"),
        ("Qsdfghjklm2024!", "too_predictable"),
        ("Wxcvbn741852963!", "too_predictable"),
        ("Mlkjhgfdsq1999?", "too_predictable"),
    ],
)
def test_sequences_walks_and_repetitions_are_refused_without_any_list(password: str, code: str) -> None:
    assert code in _codes(password, blocked=NOBODY)


@pytest.mark.parametrize(
    ("password", "personal_words"),
    [
        ("Xk7!-durand-Qp2v", ("marie.durand",)),
        ("Xk7!-MarieDurand-Qp", ("marie.durand",)),
        ("Xk7!Qp2vZ-DÜRÀND", ("Durand",)),
        ("Xk7!Qp2v-dur4nd-Z", ("Durand",)),
        ("Xk7!Qp2v-dnarud-Z", ("Durand",)),
        ("Xk!Qv-004512-Zrtb", ("004512",)),
        ("Xk!Qv-Pervenche-7b", ("EHPAD La Pervenche",)),
        ("Xk!Qv-m-durand-7b", ("m.durand@maison.example",)),
    ],
)
def test_a_persons_own_words_are_refused(password: str, personal_words: tuple[str, ...]) -> None:
    assert _codes(password, *personal_words) == ("contains_personal_word",)
    assert _codes(password) == ()


@pytest.mark.parametrize("words", [("0451",), ("Léa",), ("",), ("-.-",), ("de la",)])
def test_short_or_empty_personal_words_are_left_aside(words: tuple[str, ...]) -> None:
    assert _codes("Xk7!Qp2vZ-oasis-lea", *words) == ()


def test_every_reason_is_told_at_once_in_a_fixed_order() -> None:
    assert _codes("azerty", "azerty") == ("too_short", "blocked", "contains_personal_word")


@pytest.mark.parametrize(
    ("password", "bits"),
    # rules-fr.md row 4: the naive entropy of the CNIL's own examples.
    [
        ("aB3!aB3!aB3!", 79.55),
        ("aB3aB3aB3aB3aB", 83.36),
        ("lampe velo nuage cerise bouton fenetre gare", 90.47),
        ("aB3aB3aB", 47.63),
        ("aB!aB!aB", 51.81),
        ("1234567890123456", 53.15),
        ("1234", 13.29),
        ("", 0.0),
    ],
)
def test_the_naive_entropy_is_the_published_one(password: str, bits: float) -> None:
    assert entropy_bits(password) == pytest.approx(bits, abs=0.01)


def test_the_facts_never_show_the_password() -> None:
    assert "hunter" not in repr(PasswordFacts("hunter-Secret", ("hunter",)))


def test_the_french_list_is_large_distinct_and_folded() -> None:
    assert len(ENTRIES) == len(set(ENTRIES)) >= 1500
    assert all(entry == fold(entry) == entry.strip() and len(entry) >= 3 for entry in ENTRIES)
    assert {"azerty", "motdepasse", "netsoins", "soleil", "marseille", "ehpad", "nathalie"} <= set(ENTRIES)


@pytest.mark.parametrize("around", ["{}2024", "{}2024!", "2026{}", "!!{}!!", "{}123456789012345678901234567890", "{}{}{}"])
def test_no_entry_of_the_french_list_passes_with_something_around_it(around: str) -> None:
    for entry in ENTRIES:
        assert _codes(around.replace("{}", entry.capitalize())) != (), entry
        if "{}{}" not in around:
            assert "blocked" in _codes(around.replace("{}", entry.upper())), entry


_surrounding = st.text(string.digits + "!?.-_#*$@ ", max_size=40)
_disguises = {"a": "4@", "e": "3€", "i": "1!", "l": "1|", "o": "0", "s": "5$", "t": "7+", "b": "8"}


@given(st.sampled_from(ENTRIES), st.text(string.digits, max_size=60))
def test_check_never_accepts_a_listed_word_with_a_suffix_of_digits(entry: str, suffix: str) -> None:
    assert "blocked" in _codes(entry + suffix)


@given(st.sampled_from(ENTRIES), _surrounding, _surrounding, st.data())
def test_check_never_accepts_a_disguised_listed_word(entry: str, before: str, after: str, data: st.DataObject) -> None:
    disguised = "".join(data.draw(st.sampled_from([letter, letter.upper(), *_disguises.get(letter, "")])) for letter in entry)
    assert "blocked" in _codes(before + disguised + after)


@given(st.text(max_size=1100), st.lists(st.text(max_size=30), max_size=3))
def test_check_answers_for_any_text(password: str, personal_words: list[str]) -> None:
    codes = check(PasswordFacts(password, tuple(personal_words)), SOME)
    assert len(codes) == len(set(codes))
    assert codes or len(password) >= 12


@given(st.text(min_size=1, max_size=40), st.integers(2, 5))
def test_a_repetition_is_seen_through(unit: str, times: int) -> None:
    found = repeated_unit(unit * times)
    assert len(found) <= len(unit)
    assert (unit * times).startswith(found)


@given(st.text(string.ascii_lowercase + string.digits, max_size=30), st.sampled_from(ENTRIES))
def test_a_longer_list_never_makes_a_password_better(text: str, entry: str) -> None:
    assert count_points(text, BlockList.from_lines(["azerty", entry])).total <= count_points(text, SOME_SMALL).total


def test_random_passwords_are_hardly_ever_refused() -> None:
    chance = random.Random(20260310)
    signs = string.ascii_letters + string.digits + "!#$%&*+-=?@_"
    refused = 0
    for _ in range(2000):
        password = "aB3!" + "".join(chance.choice(signs) for _ in range(10))
        refused += bool(_codes(password))
    assert refused <= 2


@pytest.mark.parametrize("text", ["aB1!", "1", "12", "azerty", "z", "é", "-", "7a"])
def test_the_longest_password_costs_little(text: str) -> None:
    password = (text * 1024)[: 1024 // len(text.encode()) * len(text)]
    started = time.process_time()
    _codes(password, "marie.durand", "Les Tilleuls")
    assert time.process_time() - started < 0.5
