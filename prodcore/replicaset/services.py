"""Asking webapp and authsvc whether they are ready."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

from prodcore.replicaset.ports import ServiceStatus


class HttpServiceProbe:
    """A ``ServiceProbe`` over ``GET /readyz``, with the standard library: the CLI's start-up time counts here."""

    def __init__(self, name: str, url: str, *, timeout_seconds: float = 2.0) -> None:
        self._name = name
        self._url = url.rstrip("/")
        self._timeout = timeout_seconds

    def probe(self) -> ServiceStatus:
        """Ready, degraded or down, with the reason."""
        parts = urlsplit(self._url)
        make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = make(parts.netloc, timeout=self._timeout)
        try:
            connection.request("GET", f"{parts.path}/readyz", headers={"Accept": "application/json"})
            response = connection.getresponse()
            body = response.read(65_536)
        except TimeoutError:
            return self._status("down", "no answer in time")
        except (OSError, http.client.HTTPException) as error:
            return self._status("down", (getattr(error, "strerror", None) or str(error) or "no answer").lower())
        finally:
            connection.close()
        return self._read(response.status, body)

    def _read(self, status: int, body: bytes) -> ServiceStatus:
        try:
            answer = json.loads(body)
            said = str(answer.get("status", ""))
            missing = [name for name, state in dict(answer.get("checks", {})).items() if state not in ("ok", "ready")]
        except (ValueError, TypeError, AttributeError):
            said, missing = "", []
        state = "ready" if status == 200 and said in ("", "ok", "ready") else "degraded" if status == 200 else "down"
        detail = "" if state == "ready" else f"not ready: {', '.join(missing)}" if missing else f"it answers {status}"
        return self._status(state, detail)

    def _status(self, state: str, detail: str) -> ServiceStatus:
        return ServiceStatus(self._name, self._url, state, detail)
