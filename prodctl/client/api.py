"""The REST API as the commands see it: stored logins, bearer token, refresh, timeouts, errors as our own."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.util.retry import Retry

from prodcore.errors import (
    ConfigError,
    InvalidInput,
    NotAuthenticated,
    OutcomeUnknown,
    ServiceUnavailable,
)
from prodcore.settings import Settings
from prodcore.support.http import as_error
from prodcore.support.retries import note_retries
from prodcore.support.secure_files import locked, read_private, write_private


@dataclass(frozen=True, slots=True)
class Login:
    """The tokens of one login."""

    username: str
    access_token: str
    refresh_token: str


class Credentials:
    """The file of logins under the state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "credentials.json"

    def get(self, url: str) -> Login | None:
        """The login at this webapp, None where there is none."""
        entry = self._read().get(url)
        return Login(**entry) if entry else None

    def put(self, url: str, login: Login | None) -> None:
        """Keep a login, or forget it with None. Call it inside ``locked`` where others may write too."""
        logins = self._read()
        if login is None:
            logins.pop(url, None)
        else:
            logins[url] = asdict(login)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._path, json.dumps(logins))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other prodctl processes from refreshing the same login at the same time."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self._path.with_suffix(".lock")):
            yield

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            logins: dict[str, dict[str, str]] = json.loads(read_private(self._path))
        except FileNotFoundError:
            return {}
        except (ValueError, OSError) as error:
            raise ConfigError(f"{self._path} cannot be read: {error}", hint="remove it and log in again") from None
        return logins


_CONNECT_SECONDS = 3.0
_SAFE = frozenset({"GET", "HEAD"})


class ApiClient:
    """Calls webapp. Every failure is a ``ProdError``; a lost answer to a write is OutcomeUnknown."""

    def __init__(self, settings: Settings) -> None:
        self._url = _usable(settings.url)
        self._budget_seconds = settings.request_budget_seconds
        self._timeout = (_CONNECT_SECONDS, settings.request_budget_seconds + 5)
        self._credentials = Credentials(settings.state_dir)
        self._fixed_token = settings.token.get_secret_value() if settings.token else None
        if self._fixed_token and not re.fullmatch(r"[!-~]+", self._fixed_token):
            raise ConfigError("PRODCTL_TOKEN holds characters that no token has")
        self.stale: set[str] = set()
        """The shards without a majority that answers have shown, perhaps as they were before."""
        self._session = requests.Session()
        self._session.trust_env = not _is_loopback(self._url)  # a proxy cannot reach this machine's own services
        self._session.headers["User-Agent"] = f"prodctl/{version('prodctl')} ({_machine()})"  # the login's "device"
        retry = Retry(
            total=2,
            connect=2,
            read=2,
            status=0,
            backoff_factor=0.2,
            allowed_methods=_SAFE,
            respect_retry_after_header=False,  # a 503 says why: it is for the caller to read
        )
        self._session.mount("http://", HTTPAdapter(max_retries=retry))
        self._session.mount("https://", HTTPAdapter(max_retries=retry))

    @property
    def url(self) -> str:
        """The webapp that is called."""
        return self._url

    @property
    def budget_seconds(self) -> float:
        """How long one request may take there."""
        return self._budget_seconds

    @property
    def credentials(self) -> Credentials:
        """The stored logins."""
        return self._credentials

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        authenticate: bool = True,
    ) -> Any:
        """Call ``/api/v1`` + path; the answer's JSON. Refreshes an expired login once."""
        sent = dict(headers or {})
        if not authenticate:
            return self._send(method, path, body, query, sent)
        token = self._token()
        try:
            return self._send(method, path, body, query, sent | {"Authorization": f"Bearer {token}"})
        except NotAuthenticated:
            if self._fixed_token:
                raise
            token = self._refresh(stale=token)
            return self._send(method, path, body, query, sent | {"Authorization": f"Bearer {token}"})

    def _token(self) -> str:
        if self._fixed_token:
            return self._fixed_token
        login = self._credentials.get(self._url)
        if login is None:
            raise NotAuthenticated(f"nobody is logged in at {self._url}", hint="prodctl login")
        return login.access_token

    def _refresh(self, stale: str) -> str:
        with self._credentials.locked():
            login = self._credentials.get(self._url)
            if login is None:
                raise NotAuthenticated(f"nobody is logged in at {self._url}", hint="prodctl login")
            if login.access_token != stale:  # another prodctl has refreshed it meanwhile
                return login.access_token
            try:
                answer = self._send("POST", "/session/refresh", {"refresh_token": login.refresh_token}, None, {})
            except NotAuthenticated:
                self._credentials.put(self._url, None)
                raise NotAuthenticated("the login has ended", hint="prodctl login") from None
            fresh = Login(login.username, answer["access_token"], answer["refresh_token"])
            self._credentials.put(self._url, fresh)
            return fresh.access_token

    def _send(self, method: str, path: str, body: Any, query: dict[str, Any] | None, headers: dict[str, str]) -> Any:
        try:
            response = self._session.request(
                method, f"{self._url}/api/v1{path}", json=body, params=query, headers=headers, timeout=self._timeout
            )
        except (requests.exceptions.ConnectTimeout, requests.exceptions.InvalidURL) as error:
            raise self._silent(error) from None
        except UnicodeEncodeError:
            raise InvalidInput("what was given holds bytes that are not UTF-8 text") from None
        except requests.exceptions.RequestException as error:
            if method in _SAFE or _never_connected(error):
                raise self._silent(error) from None
            raise OutcomeUnknown(
                f"{self._url} took the request and gave no answer: it may have happened",
                hint="Look before you repeat it",
            ) from None
        note_retries(len(response.raw.retries.history) if response.raw.retries else 0)
        return self._read(response)

    def _silent(self, error: Exception) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"webapp does not answer at {self._url}",
            hint="prodctl local up starts it on this machine; another address goes into PRODCTL_URL",
            service="webapp",
            reason=type(error).__name__,
        )

    def _read(self, response: requests.Response) -> Any:
        try:
            document = response.json() if response.content else None
        except ValueError:
            raise ServiceUnavailable(
                f"{self._url} answered {response.status_code} with something that is not JSON", service="webapp"
            ) from None
        if response.ok:
            self.stale |= set(response.headers.get("Stale-Shards", "").replace(" ", "").split(",")) - {""}
            return document
        raise as_error(response.status_code, document if isinstance(document, dict) else {}, "webapp")


def _machine() -> str:
    """This machine's name, as far as a header can hold it."""
    return re.sub(r"[^A-Za-z0-9._-]", "?", platform.node()) or "?"


def _never_connected(error: requests.exceptions.RequestException) -> bool:
    """Whether nothing was sent: no address, or nobody listening there."""
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(cause, NewConnectionError | NameResolutionError)


def _usable(url: str) -> str:
    """The address without a slash at its end. Raises ConfigError for one that cannot be a webapp's."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"PRODCTL_URL is not an address such as http://127.0.0.1:3000: {url}")
    return url.rstrip("/")


def _is_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "") in ("127.0.0.1", "localhost", "::1")
