"""The walk ends at the first broken hop, and each verdict says what is wrong and how it is mended."""

import json

import pytest

from prodcore.errors import InvalidInput
from prodcore.expose.walk import (
    HopOutcome,
    HopResult,
    HopStep,
    first_broken,
    is_host_name,
    judge_closed,
    judge_hosts,
    judge_https,
    judge_instance,
    judge_setup,
    judge_version,
    tunnel_command,
    walk,
)
from prodcore.support.http import Answer, split

HSTS = ("Strict-Transport-Security", "max-age=31536000")
GOOD_COOKIE = ("Set-Cookie", "__Host-prodctl=x; Secure; HttpOnly; Path=/; SameSite=Lax")


def answer(status=200, *headers, **facts):
    return Answer(status, headers, json.dumps(facts).encode() if facts else b"")


def step(name, well=True, skip=""):
    return HopStep(name, "here", lambda: HopResult(well, "told", "mend it"), skip)


def test_behind_the_first_broken_hop_nothing_is_tried():
    def never():
        raise AssertionError("it must not be looked at")

    hops = walk(
        [step("a", skip="none here"), step("b"), step("c", well=False), HopStep("d", "there", never), step("e")]
    )
    assert [hop.outcome for hop in hops] == ["skipped", "ok", "broken", "not tried", "not tried"]
    assert hops[3].text == "behind c"
    assert first_broken(hops) is hops[2]
    assert hops[2].fix == "mend it"


def test_a_whole_way_has_no_broken_hop():
    hops = walk([step("a"), step("b", skip="does not apply")])
    assert first_broken(hops) is None
    assert hops[1].outcome is HopOutcome.SKIPPED


def test_another_system_is_not_taken_for_ours():
    ours, other = answer(instance="aaaa"), answer(instance="bbbb")
    assert judge_instance(ours, "", "fix").is_ok
    assert judge_instance(ours, "aaaa", "fix").is_ok
    assert judge_instance(other, "aaaa", "fix") == HopResult(
        False, "another system answers: instance bbbb, not aaaa", "fix"
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"status": "ok"}', b"\xff"])
def test_what_is_no_webapp_is_said_to_be_none(body):
    seen = judge_instance(Answer(200, (), body), "", "fix")
    assert (seen.is_ok, seen.text) == (False, "something answers 200, and it is not webapp")


@pytest.mark.parametrize(
    ("given", "well"), [(answer(open=False), True), (answer(open=True), False), (answer(503), False), (answer(), False)]
)
def test_only_a_spent_setup_code_is_good(given, well):
    assert judge_setup(given).is_ok is well


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ([HSTS, GOOD_COOKIE], "Strict-Transport-Security, and cookies for https alone"),
        ([GOOD_COOKIE], "no Strict-Transport-Security"),
        ([HSTS], "no session cookie bound to this host"),
        ([HSTS, ("Set-Cookie", "__Host-prodctl=secure; HttpOnly")], "also travel over http: __Host-prodctl"),
        ([HSTS, GOOD_COOKIE, ("set-cookie", "lang=es; Path=/")], "also travel over http: lang"),
        ([HSTS, ("Set-Cookie", "prodctl=x; secure")], "no session cookie bound to this host"),
    ],
)
def test_cookies_and_strict_transport_tell_whether_https_is_known(headers, says):
    seen = judge_https(answer(200, *headers))
    assert says in seen.text
    assert seen.is_ok is (headers == [HSTS, GOOD_COOKIE])


def test_webapp_must_answer_to_its_own_names_alone():
    refused, ours = answer(400), answer(instance="aaaa")
    assert judge_hosts(refused, None, "").is_ok
    assert judge_hosts(refused, ours, "a.example").is_ok
    assert "any host name" in judge_hosts(ours, None, "").text
    missing = judge_hosts(refused, refused, "a.example")
    assert "a.example" in missing.text
    assert missing.fix.startswith('trusted_hosts = "a.example" for webapp')


def test_what_must_stay_inside_is_named():
    assert judge_closed("a.example", []).is_ok
    seen = judge_closed("a.example", [5000, 27017])
    assert (seen.is_ok, seen.text) == (False, "a.example takes connections on 5000 (authsvc), 27017 (a mongod)")


@pytest.mark.parametrize(
    ("said", "well"),
    [
        ("ngrok version 3.24.0\n", True),
        ("ngrok version 3.31.1", True),
        ("ngrok version 3.23.9", False),
        ("ngrok version 2.3.41", False),
        ("command not understood", False),
        ("", False),
    ],
)
def test_an_old_ngrok_is_refused(said, well):
    assert judge_version(said).is_ok is well


def test_the_tunnel_leads_to_webapp_over_https_and_keeps_no_copy_of_what_passes():
    assert tunnel_command("ngrok", "http://127.0.0.1:3000", "a.example")[1:] == [
        "http", "http://127.0.0.1:3000", "--inspect=false", "--url", "https://a.example",
    ]  # fmt: skip
    assert "--url" not in tunnel_command("ngrok", "http://127.0.0.1:3000", "")


NO_NAMES = ("--config=x.y", "a", "https://a.b", "a.b/c", "a b.c", "a.b;reboot", "$(id).b", "A.B", "", "x" * 64 + ".de")


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_tunnel_has_a_host_name_and_nothing_else(name):
    assert not is_host_name(name)


@pytest.mark.parametrize("url", ["", "example.com", "ftp://a.b", "https://", "https://a.b:0x1", "https://[::1"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(InvalidInput, match="is not an address"):
        split(url)
