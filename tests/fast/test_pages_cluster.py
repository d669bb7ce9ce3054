"""The cluster in words and pictures: problems in the reader's language, where products lie, looking once for all."""

import string
import threading

import pytest
from flask import Flask

from prodcore.catalog.distribution import spread
from prodcore.replicaset.diagnostic import SENTENCES, problem_line
from prodcore.routing import DEFAULT_MAP, fold
from tests.support.waiting import wait_until
from webapp.live import Watched
from webapp.pages.cluster import SENTENCES as TRANSLATED
from webapp.pages.cluster import problem_text
from webapp.pages.language import install_language


@pytest.fixture(scope="module")
def app():
    app = Flask("webapp")
    install_language(app)
    return app


def speaking(app, language):
    return app.test_request_context(headers={"Accept-Language": language})


def facts_of(sentence):
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("language", ["en", "es"])
def test_every_problem_is_said_in_every_language_with_all_its_facts(app, language):
    assert TRANSLATED.keys() == SENTENCES.keys()
    with speaking(app, language):
        for code, sentence in SENTENCES.items():
            assert facts_of(str(TRANSLATED[code])) == facts_of(sentence), code


def test_a_problem_is_said_in_spanish(app):
    lag = problem_line("lag", set="rsA", member="h:1", seconds=12.34)
    silent = problem_line("unreachable", set="rsA", member="h:1", role="DOWN", why="connection refused")
    with speaking(app, "es"):
        assert problem_text(lag) == "rsA: h:1 va 12,3 s por detrás del primario"
        assert problem_text(silent) == "rsA: h:1 está en estado «caído»: conexión rechazada"


def test_products_are_spread_over_ranges_and_letters_as_the_samples_say():
    keys = {"rsA": [fold("Arroz"), fold("Leche")], "rsB": [fold("Ñoquis"), fold("nata"), fold("7up"), fold("Ωmega")]}
    found = spread(DEFAULT_MAP, {"rsA": 100, "rsB": 40}, keys)
    assert [(s.name, s.shard, s.products) for s in found.ranges] == [
        ("key < a", "rsB", 10.0), ("a ≤ key < n", "rsA", 100.0), ("n ≤ key …", "rsB", 30.0),
    ]  # fmt: skip
    there = {s.name: (s.shard, s.products) for s in found.letters if s.products}
    assert there == {
        "a": ("rsA", 50.0), "l": ("rsA", 50.0), "ñ": ("rsB", 10.0), "n": ("rsB", 10.0), "0–9": ("rsB", 10.0),
        "…": ("rsB", 10.0),
    }  # fmt: skip
    assert [s.name for s in found.letters][:3] == ["0–9", "a", "b"]
    assert found.letters[-1].name == "…"


def test_a_silent_shard_and_an_empty_one_are_no_obstacle():
    found = spread(DEFAULT_MAP, {"rsA": 0}, {"rsA": []})
    assert [s.products for s in found.ranges] == [0.0, 0.0, 0.0]
    assert not any(s.products for s in found.letters)


def test_what_is_watched_is_looked_at_once_for_everybody():
    looks = []
    watched = Watched(lambda: looks.append(1) or len(looks), every_seconds=60)
    answers = []
    askers = [threading.Thread(target=lambda: answers.append(watched.get())) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert answers == [1] * 8


def test_who_watches_hears_of_news_and_of_errors():
    answers = iter(["first", RuntimeError("broken")])
    error_was_seen = threading.Event()

    def look():
        found = next(answers, "again")
        if isinstance(found, Exception):
            raise found
        if found == "again":
            error_was_seen.wait(60)
        return found

    watched = Watched(look, every_seconds=0.05)
    assert watched.get() == "first"
    assert watched.wait(1, 60) == 2
    with pytest.raises(RuntimeError, match="broken"):
        watched.get()
    error_was_seen.set()
    watched.wait(2, 60)
    assert watched.get() == "again"


def test_nobody_looks_when_nobody_wants_to_know():
    rested = threading.Event()
    looks = []
    watched = Watched(lambda: looks.append(1), 0.05, rested.set, unwanted_seconds=0.1)
    watched.get()
    wait_until(rested.is_set, "it rests")
    count = len(looks)
    watched.get()
    assert len(looks) > count, "an old answer is not given out as a new one"
