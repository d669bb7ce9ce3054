"""authsvc wired together: one for each worker process, made at its first request and so after the fork."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import cast

from flask import current_app

from authsvc.credentials import PasswordHasher, SecondFactor
from authsvc.keys import KeyRing
from authsvc.limits import KnownDevices, LoginLimits
from authsvc.sessions import ServiceTokens, Sessions, utc_now
from authsvc.users import Accounts, OwnAccount
from prodcore.app.wiring import UserStores, open_user_stores
from prodcore.errors import ConfigError, Problem
from prodcore.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """Everything the API calls."""

    accounts: Accounts
    own: OwnAccount
    second_factor: SecondFactor
    tokens: ServiceTokens
    sessions: Sessions
    ring: KeyRing
    stores: UserStores


class ServiceProvider:
    """Makes the service once its database answers; until then every call is Unavailable."""

    def __init__(self, settings: Settings) -> None:
        missing = [name for name in ("db3_url", "service_secret", "auth_keys_dir") if getattr(settings, name) is None]
        if missing:
            raise ConfigError(problems=[Problem(name.upper(), "missing", "is not set") for name in missing])
        self._settings = settings
        self._lock = threading.Lock()
        self._stores: UserStores | None = None
        self._service: Service | None = None

    def get(self) -> Service:
        """The service. Raises Unavailable while the indexes cannot be made."""
        if self._service is None:
            with self._lock:
                if self._service is None:
                    self._service = self._make()
        return self._service

    def close(self) -> None:
        """Close the connections."""
        if self._stores:
            self._stores.close()

    def _make(self) -> Service:
        settings = self._settings
        self._stores = self._stores or open_user_stores(settings)
        self._stores.ensure_indexes()
        assert settings.auth_keys_dir is not None  # noqa: S101  checked above, said again for mypy
        ring = KeyRing(settings.auth_keys_dir)
        sessions = Sessions(
            self._stores,
            ring,
            utc_now,
            access_seconds=settings.access_token_seconds,
            session_days=settings.session_days,
            idle_hours=settings.session_idle_hours,
            admin_second_factor=settings.admin_second_factor,
        )
        hasher = PasswordHasher(settings.bcrypt_cost)
        limits = LoginLimits(self._stores.attempts, utc_now)
        second_factor = SecondFactor(self._stores.users, ring.derive("totp"), utc_now)
        accounts = Accounts(
            self._stores,
            hasher,
            sessions,
            limits,
            second_factor,
            utc_now,
            devices=KnownDevices(ring.derive("device")),
            setup_code_file=settings.setup_code_file,
            registration=settings.registration,
            shortest_password=settings.password_min_length,
        )
        own = OwnAccount(
            self._stores,
            hasher,
            sessions,
            limits,
            second_factor,
            utc_now,
            shortest_password=settings.password_min_length,
            proof_key=ring.derive("proof"),
        )
        tokens = ServiceTokens(self._stores.tokens, ring, utc_now, settings.access_token_seconds)
        return Service(accounts, own, second_factor, tokens, sessions, ring, self._stores)


def current_service() -> Service:
    """The service of the running app. Raises Unavailable."""
    return cast("ServiceProvider", current_app.extensions["service"]).get()
