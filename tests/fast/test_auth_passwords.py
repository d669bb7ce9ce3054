"""Which passwords are accepted, and that every character of them counts."""

import threading

import bcrypt
import pytest
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from authsvc.credentials import LONGEST, PasswordHasher, check_policy
from prodcore.errors import InvalidInput, Unavailable
from tests.support.waiting import wait_until

GOOD = "plum tractor silently 77"


@pytest.fixture(scope="module")
def hasher():
    return PasswordHasher(cost=4, threads=2)


def reason(password, username="ana", shortest=15):
    with pytest.raises(InvalidInput) as caught:
        check_policy(password, username, shortest)
    return caught.value.problems[0].code


@pytest.mark.parametrize(
    "password", [GOOD, "ñandú azul sobre el tejado", "🦩🌵🚲🎷🪁🧭🪲🥁🛶🧶🪗🦔🫐🌋🎲", "x7#" * 20 + "Qm9!vT2k"]
)
def test_a_long_password_that_nobody_guesses_is_accepted(password):
    check_policy(password, "ana", 15)


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "password_too_short"),
        ("x" * (LONGEST + 1), "password_too_long"),
        ("plum tractor\0silently 77", "password_has_nul"),
        ("passwordpassword", "password_guessable"),
        ("aaaaaaaaaaaaaaaaaaaa", "password_guessable"),
        ("123456789012345678", "password_guessable"),
        ("prodctlproductos", "password_guessable"),
        ("qwertyuiopasdfgh", "password_guessable"),
    ],
)
def test_a_weak_password_is_refused_with_its_reason(password, code):
    assert reason(password) == code


def test_the_own_name_is_no_password():
    assert reason("maximilianmontgomery", username="maximilianmontgomery") == "password_guessable"


def test_every_common_password_that_is_long_enough_is_refused():
    common = [p for p in FREQUENCY_LISTS["passwords"][:10_000] if len(p) >= 8]
    assert len(common) > 1_000
    accepted = []
    for password in common:
        try:
            check_policy(password, "ana", 8)
        except InvalidInput:
            continue
        accepted.append(password)
    assert accepted == []


def test_a_password_of_any_accepted_length_logs_in(hasher):
    for length in (1, 8, 71, 72, 73, 74, 200, LONGEST):
        password = ("ñ" * length)[:length]
        assert hasher.verify(password, hasher.hash(password))


def test_the_73rd_byte_counts(hasher):
    stored = hasher.hash("a" * 72 + "b")
    assert not hasher.verify("a" * 72 + "c", stored)
    assert not hasher.verify("a" * 72, stored)


def test_what_follows_a_nul_counts(hasher):
    assert not hasher.verify("abc\0abd", hasher.hash("abc\0abc"))


def test_composed_and_decomposed_spellings_are_one_password(hasher):
    assert hasher.verify("man\u0303ana 🦩", hasher.hash("mañana 🦩"))


def test_lone_surrogates_do_no_harm(hasher):
    assert not hasher.verify("\ud800", hasher.hash(GOOD))


@pytest.mark.parametrize(
    "damaged", ["", "v1", "v1$2b$12$short", "plain text", "$2b$12$" + "x" * 53, "v1$9z$12$" + "x" * 53]
)
def test_a_damaged_hash_opens_for_nobody(hasher, damaged):
    assert not hasher.verify(GOOD, damaged)


def test_an_unknown_user_costs_a_hash_and_is_refused(hasher):
    assert not hasher.verify(GOOD, None)


def test_a_hash_made_with_less_work_is_outdated(hasher):
    assert not hasher.is_outdated(hasher.hash(GOOD))
    assert PasswordHasher(cost=5, threads=1).is_outdated(hasher.hash(GOOD))
    assert hasher.is_outdated(bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode())


def test_more_than_so_many_waiting_are_sent_away():
    hasher = PasswordHasher(cost=4, threads=1)
    core = threading.Event()
    hasher._pool.submit(core.wait, 60)  # the only thread is busy
    outcomes = []

    def log_in():
        try:
            outcomes.append(hasher.verify(GOOD, None))
        except Unavailable as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=log_in) for _ in range(80)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(outcomes) == 16, "what does not fit is sent away at once")
    core.set()
    for thread in threads:
        thread.join(60)
    assert (outcomes.count("unavailable"), outcomes.count(False)) == (16, 64)
