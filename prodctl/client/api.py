"""The REST API as the commands see it: stored logins, bearer token, refresh, timeouts, errors as our own."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from prodcore.errors import (
    ConfigError,
    InvalidInput,
    NotAuthenticated,
    OutcomeUnknown,
    ProofRequired,
    ServiceUnavailable,
)
from prodcore.settings import Settings
from prodcore.support.http import Answer, as_error
from prodcore.support.secure_files import locked, read_private, write_private
from prodctl import __version__
from prodctl.client.http import SAFE, Connections, NoAnswer, NotSent


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

    def device(self, url: str) -> str:
        """What shows webapp that this machine has logged in there before; empty for the first time."""
        return self._read().get(_DEVICES, {}).get(url, "")

    def keep_device(self, url: str, made: str) -> None:
        """Keep what a login gave for the next ones; it outlives a logout. Of several accounts the last four."""
        logins = self._read()
        known = [text for text in self.device(url).split("~") if text]
        logins.setdefault(_DEVICES, {})[url] = "~".join([made, *known][:4])
        with self._writable():
            write_private(self._path, json.dumps(logins))

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
        with self._writable():
            write_private(self._path, json.dumps(logins))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other prodctl processes from refreshing the same login at the same time. Raises ConfigError."""
        with ExitStack() as stack:
            with self._writable():
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                stack.enter_context(locked(self._path.with_suffix(".lock")))
            yield

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f"the login cannot be stored in {self._path.parent}: {(error.strerror or str(error)).lower()}",
                hint="PRODCTL_STATE_DIR names another directory; with PRODCTL_TOKEN no login is needed",
            ) from None

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            logins: dict[str, dict[str, str]] = json.loads(read_private(self._path))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (ValueError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not JSON"
            raise ConfigError(f"{self._path} cannot be read: {why}", hint="remove it and log in again") from None
        return logins


_CONNECT_SECONDS = 3.0
_DEVICES = "devices"


class ApiClient:
    """Calls webapp. Every failure is a ``ProdError``; a lost answer to a write is OutcomeUnknown."""

    def __init__(self, settings: Settings) -> None:
        self._url = _usable(settings.url)
        self._budget_seconds = settings.request_budget_seconds
        self._connections = Connections(
            self._url, _CONNECT_SECONDS, settings.request_budget_seconds + 5, settings.ca_file
        )
        self._credentials = Credentials(settings.state_dir)
        self._fixed_token = settings.token.get_secret_value() if settings.token else None
        if self._fixed_token and not re.fullmatch(r"[!-~]+", self._fixed_token):
            raise ConfigError("PRODCTL_TOKEN holds characters that no token has")
        self.ask_proof: Callable[[bool], dict[str, str]] | None = None
        """Asks the user for the password again, and the code of a second factor: what /account/proof takes."""
        self.stale: set[str] = set()
        """The shards without a majority that answers have shown, perhaps as they were before."""
        self._agent = f"prodctl/{__version__} ({_machine()})"  # the login's "device"

    def close(self) -> None:
        """Close the connection of this thread; the next call makes another."""
        self._connections.close()

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
        try:
            return self._authenticated(method, path, body, query, sent)
        except ProofRequired as error:
            if self.ask_proof is None:  # a service token is never asked: only a session can prove it
                raise
            given = self.ask_proof(bool(error.details.get("second_factor")))
        proof = self._authenticated("POST", "/account/proof", given, None, {})["proof"]
        return self._authenticated(method, path, body, query, sent | {"X-Proof": proof})

    def _authenticated(
        self, method: str, path: str, body: Any, query: dict[str, Any] | None, headers: dict[str, str]
    ) -> Any:
        token = self._token()
        try:
            return self._send(method, path, body, query, headers | {"Authorization": f"Bearer {token}"})
        except NotAuthenticated:
            if self._fixed_token:
                raise
            fresh = self._refresh(stale=token)
            if fresh == token:
                raise
            return self._send(method, path, body, query, headers | {"Authorization": f"Bearer {fresh}"})

    def _token(self) -> str:
        if self._fixed_token:
            return self._fixed_token
        login = self._credentials.get(self._url)
        if login is None:
            raise self._not_logged_in()
        return login.access_token

    def _not_logged_in(self) -> NotAuthenticated:
        """Why there is no login. Raises ServiceUnavailable where there is no webapp to log in at."""
        first = self._send("GET", "/setup", None, None, {})["open"]
        hint = "prodctl login, with the setup code: it creates the first admin" if first else "prodctl login"
        return NotAuthenticated(f"you are not logged in at {self._url}", hint=hint)

    def _refresh(self, stale: str) -> str:
        with self._credentials.locked():
            login = self._credentials.get(self._url)
            if login is None:
                raise self._not_logged_in()
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
        sent = headers | {"User-Agent": self._agent, "Accept": "application/json"}
        data = None
        try:
            if body is not None:
                data = json.dumps(body, ensure_ascii=False).encode()
                sent["Content-Type"] = "application/json"
            asked = f"?{urlencode(query, doseq=True)}" if query else ""
            answer = self._connections.ask(method, f"/api/v1{path}{asked}", data, sent)
        except UnicodeEncodeError:
            raise InvalidInput("the input contains bytes that are not UTF-8 text") from None
        except NotSent as error:
            raise self._unreachable(error) from None
        except NoAnswer as error:
            if method in SAFE:
                raise self._unreachable(error) from None
            raise OutcomeUnknown(
                f"{self._url} took the request and gave no answer: it may have happened",
                hint="Check whether it happened before you repeat it",
            ) from None
        except KeyboardInterrupt as interruption:
            if method not in SAFE:
                interruption.add_note("The request was sent, but no answer came: it may have happened.")
            raise
        return self._read(answer)

    def _unreachable(self, error: Exception) -> ServiceUnavailable:
        hint = "prodctl local up starts it on this machine; another address goes into PRODCTL_URL"
        if "certificate" in str(error):
            hint = "PRODCTL_CA_FILE names the file with the certificate of its authority"
        return ServiceUnavailable(
            f"webapp does not answer at {self._url} ({error})",
            hint=hint,
            service="webapp",
            reason=str(error),
        )

    def _read(self, answer: Answer) -> Any:
        if place := answer.header("location") if 300 <= answer.status < 400 else None:
            raise ServiceUnavailable(f"{self._url} redirects to {place}", hint="set PRODCTL_URL to that address")
        try:
            document = json.loads(answer.body) if answer.body else None
        except ValueError:
            raise ServiceUnavailable(
                f"{self._url} answered {answer.status} with something that is not JSON: it is not webapp",
                hint="PRODCTL_URL is the address that shows the pages in a browser",
                service="webapp",
            ) from None
        if answer.status < 300:
            self.stale |= set(answer.header("stale-shards").replace(" ", "").split(",")) - {""}
            return document
        raise as_error(answer.status, document if isinstance(document, dict) else {}, "webapp")


def _machine() -> str:
    """This machine's name, as far as a header can hold it."""
    return re.sub(r"[^A-Za-z0-9._-]", "?", platform.node()) or "?"


def _usable(url: str) -> str:
    """The address without a slash at its end. Raises ConfigError for one that cannot be a webapp's."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:  # a port that is no number
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(f"PRODCTL_URL is not an address such as http://127.0.0.1:3000: {url}")
    return url.rstrip("/")
