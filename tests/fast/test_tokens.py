"""Forged, stale, foreign and garbled access tokens: NotAuthenticated, whatever bytes are in them."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from prodcore.errors import NotAuthenticated
from prodcore.identity.rights import Right, Role
from prodcore.identity.tokens import AUDIENCE, ISSUER, LEEWAY, Identity, issue, verify

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()
KEYS = {"k1": KEY.public_key()}
ANA = Identity("u1", "ana", Role.EDITOR, "s1", NOW + timedelta(minutes=15), epoch=3)
TOKEN = issue(ANA, "k1", KEY, NOW)

CLAIMS = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "u1",
    "jti": "j1",
    "sid": "s1",
    "name": "ana",
    "epoch": 0,
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 900,
    "role": "editor",
}


def signed(claims=CLAIMS, key=KEY, **headers):
    head, body = b64({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1", **headers}), b64(claims)
    return f"{head}.{body}.{b64(key.sign(f'{head}.{body}'.encode()))}"


def b64(data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refused(token, keys=KEYS, now=NOW):
    with pytest.raises(NotAuthenticated):
        verify(token, keys, now)
    return True


def test_a_token_says_who_it_was_made_for():
    seen = verify(TOKEN, KEYS, NOW)
    assert (seen.user_id, seen.username, seen.role, seen.sid, seen.epoch) == ("u1", "ana", Role.EDITOR, "s1", 3)
    assert seen.jti
    assert seen.expires_at == ANA.expires_at


def test_a_service_token_has_scopes_and_no_role():
    scopes = frozenset({Right.READ_PRODUCTS, Right.RUN_DRILLS})
    job = Identity("t1", "nightly", None, "t1", NOW + timedelta(minutes=5), scopes=scopes)
    seen = verify(issue(job, "k1", KEY, NOW), KEYS, NOW)
    assert seen.may(Right.RUN_DRILLS)
    assert not seen.may(Right.WRITE_PRODUCTS)
    assert not seen.may(Right.ACCOUNT)


def test_the_hand_made_token_of_these_tests_is_good():
    assert verify(signed(), KEYS, NOW).username == "ana"


def test_a_token_ends_and_not_a_leeway_later():
    assert verify(TOKEN, KEYS, ANA.expires_at + LEEWAY - timedelta(seconds=1))
    assert refused(TOKEN, now=ANA.expires_at + LEEWAY)
    assert timedelta(seconds=60) >= LEEWAY


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "nOnE", "HS256", "HS384", "RS256", "ES256", "Ed25519", "", "eddsa"]
)
def test_another_algorithm_is_refused(alg):
    head, body = b64({"alg": alg, "typ": "at+jwt", "kid": "k1"}), b64(CLAIMS)
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    raw = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    for secret in (public, raw, b""):
        mac = b64(hmac.digest(secret, f"{head}.{body}".encode(), hashlib.sha256))
        assert refused(f"{head}.{body}.{mac}")
    assert refused(f"{head}.{body}.")
    assert refused(f"{head}.{body}.AAAA")


def test_a_key_of_another_curve_is_refused():
    foreign = Ed448PrivateKey.generate()
    assert refused(signed(key=foreign))


def test_a_foreign_key_is_refused_whatever_it_calls_itself():
    foreign = Ed25519PrivateKey.generate()
    assert refused(signed(key=foreign))
    assert refused(signed(kid="k2"))
    assert refused(signed(kid="../../etc/passwd"))


@pytest.mark.parametrize("header", ["jku", "x5u", "jwk", "x5c"])
def test_headers_that_name_keys_are_refused(header):
    foreign = Ed25519PrivateKey.generate()
    assert refused(signed(key=foreign, **{header: "https://evil.example/keys"}))
    assert refused(signed(**{header: "https://evil.example/keys"}))


@pytest.mark.parametrize("headers", [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}, {"b64": False}])
def test_headers_that_change_the_meaning_are_refused(headers):
    assert refused(signed(**headers))


@pytest.mark.parametrize("typ", ["JWT", "at+JWT", "rt+jwt", "", None])
def test_another_type_is_refused(typ):
    assert refused(signed(typ=typ))


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "jti", "sid", "name", "epoch", "iat", "exp", "role"])
def test_every_claim_is_required(claim):
    assert refused(signed({k: v for k, v in CLAIMS.items() if k != claim}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "somebody"},
        {"iss": "prodctl"},
        {"iss": [ISSUER]},
        {"aud": "somebody"},
        {"aud": [AUDIENCE]},
        {"aud": ["other", AUDIENCE]},
        {"sub": 7},
        {"sub": ""},
        {"name": None},
        {"sid": ["s1"]},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 1e18},
        {"exp": 10**30},
        {"exp": -1},
        {"exp": 1.5},
        {"iat": "then"},
        {"epoch": "3"},
        {"role": "root"},
        {"role": ["admin"]},
        {"scope": "products:read"},
        {"role": None, "scope": "public"},
        {"role": None, "scope": "nonsense"},
        {"role": None, "scope": ["products:read"]},
    ],
    ids=str,
)
def test_a_claim_of_another_value_or_type_is_refused(wrong):
    assert refused(signed({**CLAIMS, **wrong}))


def test_a_token_has_one_spelling():
    head, body, signature = TOKEN.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = last[last.index(signature[-1]) ^ 1]
    for twin in (
        TOKEN + "=",
        TOKEN + " ",
        "\n" + TOKEN,
        f"{head}.{body}.{signature[:-1]}{other}",
        f"{head}=.{body}.{signature}",
        f"{head}.{body}.{signature}.",
        TOKEN.replace("-", "+").replace("_", "/") + "==",
    ):
        assert refused(twin)


@pytest.mark.parametrize(
    "odd",
    ["", ".", "..", "...", "a.b", "a.b.c", "\ud800.\ud800.\ud800", "\0.\0.\0", "é.é.é", "A" * 5000, "🂡.🂡.🂡", "٣.٣.٣"],
    ids=ascii,
)
def test_odd_bytes_are_refused(odd):
    assert refused(odd)


def test_a_deeply_nested_header_is_refused():
    assert refused(f"{b64(b'[' * 1500 + b']' * 1500)}.{b64(CLAIMS)}.AAAA")
    assert refused(f"{b64(b'[1]')}.{b64(CLAIMS)}.AAAA")
    assert refused(f"{b64(b'null')}.{b64(CLAIMS)}.AAAA")


def test_a_signed_body_that_is_no_object_is_refused():
    for body in (b"[]", b"null", b"1", b"\xff", b"{", b"[" * 1500 + b"]" * 1500):
        head = b64({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"})
        assert refused(f"{head}.{b64(body)}.{b64(KEY.sign(f'{head}.{b64(body)}'.encode()))}")


@given(st.text(max_size=300))
def test_any_text_is_refused(text):
    assert refused(text)


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_any_token_with_one_character_changed_is_refused(position, character):
    changed = TOKEN[:position] + character + TOKEN[position + 1 :]
    assert changed == TOKEN or refused(changed)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jku"]), json_values), json_values)
def test_any_header_and_body_are_refused(header, body):
    assert refused(f"{b64(header)}.{b64(body)}.{b64(b'x' * 64)}")


SECOND = int(NOW.timestamp())
_ODD_TIMES = {
    "the last second that datetime knows": {"exp": 253_402_300_799},
    "a life of its own in the far future": {"iat": 253_402_300_000, "exp": 253_402_300_799},
    "longer than we give": {"exp": SECOND + 901},
    "ended before it began": {"exp": SECOND - 1},
    "not yet": {"iat": SECOND + 31, "exp": SECOND + 900},
    "an hour ahead": {"iat": SECOND + 3600, "exp": SECOND + 4500},
    "nbf ahead": {"nbf": SECOND + 900},
    "nbf past": {"nbf": SECOND - 900},
    "nbf of another type": {"nbf": "soon"},
    "without end": {"exp": 10**400},
    "a claim that is never issued": {"admin": True},
    "the first second": {"iat": 0, "exp": 900},
}


@pytest.mark.parametrize("case", _ODD_TIMES)
def test_odd_claims_by_the_true_key_are_refused(case):
    assert refused(signed(CLAIMS | _ODD_TIMES[case]))


@pytest.mark.parametrize(
    "headers",
    [
        {"crit": []},
        {"crit": ["exp"], "exp": 1},
        {"crit": "exp"},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"enc": "A128GCM"},
        {"kid": ["k1"]},
        {"kid": {"$ne": ""}},
        {"kid": None},
        {"alg": ["EdDSA"]},
        {"typ": ["at+jwt"]},
        {"x5t": "AAAA"},
        {"": ""},
    ],
    ids=str,
)
def test_odd_headers_by_the_true_key_are_refused(headers):
    assert refused(signed(**headers))


def test_a_name_that_stands_twice_is_refused_in_header_and_claims():
    def by_hand(head, body):
        head, body = b64(head.encode()), b64(body.encode())
        return f"{head}.{body}.{b64(KEY.sign(f'{head}.{body}'.encode()))}"

    head, body = '{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}', json.dumps(CLAIMS)
    assert verify(by_hand(head, body), KEYS, NOW)
    assert refused(by_hand(head[:-1] + ',"kid":"k1"}', body))
    assert refused(by_hand(head, body[:-1] + ',"role":"admin"}'))
    for odd in ("[]", "null", "7", '"x"', "[" * 900, "{", "", "\ufeff{}"):
        assert refused(by_hand(odd, body))
        assert refused(by_hand(head, odd))
