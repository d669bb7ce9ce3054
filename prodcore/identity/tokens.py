"""Access tokens: EdDSA JWTs that only authsvc can make and everybody with its public keys can verify.

One algorithm, one type, one issuer, one audience, every claim required and none besides, one spelling of each token.
Whatever else arrives, with whatever bytes in it, is ``NotAuthenticated`` and nothing more is said: no header that we do
not write (``crit``, ``jku``, ``zip``), no claim (``nbf``), even by the true key.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.utils import base64url_decode, base64url_encode

from prodcore.errors import NotAuthenticated
from prodcore.identity.rights import SCOPES, Right, Role, rights_of

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
ISSUER = "prodctl-authsvc"
AUDIENCE = "prodctl"
LEEWAY = timedelta(seconds=30)
"""How long after its end a token is still taken, for clocks that differ a little."""
GRACE = timedelta(minutes=60)
"""How long a session that was alive goes on while authsvc is down."""

SERVICE_TOKEN_PREFIX = "prodctl_"  # noqa: S105  no secret, but how one begins
"""What a service token begins with; it is no access token, webapp exchanges it for one."""

LONGEST_LIFE = timedelta(minutes=15)
"""Of an access token; one that claims a longer life is not one of ours."""

_MAX_LENGTH = 4096
_HEADER = {"alg", "typ", "kid"}
_REQUIRED = ["iss", "aud", "sub", "jti", "sid", "name", "epoch", "iat", "exp"]
_CLAIMS = {*_REQUIRED, "role", "scope"}
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_LATEST = 253_402_300_799  # the last second of year 9999, the last one that datetime knows


_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling, as an access token says.

    A person has a ``role``; a service token has ``scopes`` instead, and its name is the user name. ``sid`` is the
    session (or service token) that the access token comes from; ``epoch`` counts the changes of the account.
    """

    user_id: str
    username: str
    role: Role | None
    sid: str
    expires_at: datetime
    issued_at: datetime = _EPOCH
    jti: str = ""
    epoch: int = 0
    scopes: frozenset[Right] = frozenset()

    @property
    def rights(self) -> frozenset[Right]:
        """Everything this caller may do."""
        return rights_of(self.role) if self.role else self.scopes | {Right.PUBLIC}

    def may(self, right: Right) -> bool:
        """Whether the caller has this right."""
        return right in self.rights

    def is_live(self, now: datetime, late: timedelta = LEEWAY) -> bool:
        """Whether the token has begun, and has not ended or not longer than ``late`` ago."""
        return self.issued_at - LEEWAY <= now and not self.had_ended(now, late)

    def had_ended(self, moment: datetime, late: timedelta = LEEWAY) -> bool:
        """Whether the token had ended then, ``late`` or longer ago."""
        return moment - late >= self.expires_at


def issue(identity: Identity, kid: str, key: Ed25519PrivateKey, now: datetime) -> str:
    """A signed access token for ``identity``; it gets a ``jti`` of its own."""
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": identity.user_id,
        "jti": uuid.uuid4().hex,
        "sid": identity.sid,
        "name": identity.username,
        "epoch": identity.epoch,
        "iat": int(now.timestamp()),
        "exp": int(identity.expires_at.timestamp()),
    }
    if identity.role:
        claims["role"] = str(identity.role)
    else:
        claims["scope"] = " ".join(sorted(identity.scopes))
    return jwt.encode(claims, key, ALGORITHM, headers={"typ": TYPE, "kid": kid})


def kid_of(token: str) -> str:
    """The key that a token says it was signed with, before anything is verified. Raises NotAuthenticated."""
    return _header(token)["kid"]


def session_of(token: str) -> str:
    """The session that a token says it comes from; nothing is verified. Raises NotAuthenticated.

    For a token that was kept where nobody else can write, such as in a signed cookie.
    """
    try:
        return str(_object(token.split(".")[1])["sid"])
    except (ValueError, TypeError, LookupError, RecursionError):
        raise NotAuthenticated("the token is not valid") from None


def authenticate(token: str, keys: Mapping[str, Ed25519PublicKey]) -> Identity:
    """Whom a genuine token speaks of; its time is not judged (ask ``Identity.is_live``). Raises NotAuthenticated."""
    header = _header(token)
    key = keys.get(header["kid"])
    if key is None:
        raise NotAuthenticated("the token is not valid")
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={
                "require": _REQUIRED,
                "strict_aud": True,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
        if claims != _object(token.split(".")[1]):
            raise ValueError("a claim appears twice")
        return _identity(claims)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError):
        raise NotAuthenticated("the token is not valid") from None


def verify(token: str, keys: Mapping[str, Ed25519PublicKey], now: datetime) -> Identity:
    """Whom a genuine token speaks of that has not ended. Raises NotAuthenticated."""
    identity = authenticate(token, keys)
    if not identity.is_live(now):
        raise NotAuthenticated("the token has expired")
    return identity


def _header(token: str) -> dict[str, str]:
    """The header, if the token is spelled the only way that we spell tokens."""
    if len(token) > _MAX_LENGTH or not _SHAPE.fullmatch(token):
        raise NotAuthenticated("the token is not valid")
    try:
        if any(base64url_encode(base64url_decode(part)).decode() != part for part in token.split(".")):
            raise NotAuthenticated("the token is not valid")
        header = _object(token.partition(".")[0])
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise NotAuthenticated("the token is not valid") from None
    if set(header) != _HEADER or header["alg"] != ALGORITHM or header["typ"] != TYPE or type(header["kid"]) is not str:
        raise NotAuthenticated("the token is not valid")
    return header


def _object(part: str) -> dict[str, Any]:
    """The JSON object of a part. Raises ValueError for anything else, and for a name that stands there twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name appears twice")
        return found

    value = json.loads(base64url_decode(part), object_pairs_hook=once)
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value


def _identity(claims: Mapping[str, Any]) -> Identity:
    """The claims as an Identity. Raises ValueError, TypeError or KeyError for a wrong shape."""
    texts = [claims[name] for name in ("sub", "name", "sid", "jti")]
    numbers = [claims[name] for name in ("iat", "exp", "epoch")]
    if not all(isinstance(t, str) and t for t in texts) or not all(
        type(n) is int and 0 <= n <= _LATEST for n in numbers
    ):
        raise ValueError("a claim has the wrong type")
    if not set(claims) <= _CLAIMS:
        raise ValueError("a claim that is never issued")
    if not 0 <= claims["exp"] - claims["iat"] <= LONGEST_LIFE.total_seconds():
        raise ValueError("a lifetime that is never issued")
    if claims["iss"] != ISSUER:  # PyJWT takes a list that holds it, too
        raise ValueError("another issuer")
    role, scope = claims.get("role"), claims.get("scope")
    if (role is None) == (scope is None) or not isinstance(scope, str | None):
        raise ValueError("either a role or a scope")
    scopes = frozenset(Right(s) for s in (scope or "").split())
    if not scopes <= SCOPES:
        raise ValueError("not a scope")
    user_id, username, sid, jti = texts
    return Identity(
        user_id=user_id,
        username=username,
        role=Role(role) if role is not None else None,
        sid=sid,
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        issued_at=datetime.fromtimestamp(claims["iat"], UTC),
        jti=jti,
        epoch=claims["epoch"],
        scopes=scopes,
    )
