"""The pages over a catalogue in this process, for tests without servers: the real app, and a user who is logged in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from flask import g

from prodcore.catalog import Catalog
from prodcore.identity.rights import Role
from prodcore.identity.tokens import Identity
from prodcore.routing import DEFAULT_MAP
from prodcore.settings import load_settings
from tests.support.memory_products import MemoryClaimStore, MemoryProductStore, MemoryViewStore
from webapp.app import create_app

_SECRET = "secret-of-the-tests-that-nobody-else-knows"


class _Provider:
    """The catalogue, open already."""

    def __init__(self, catalog):
        self.catalog = catalog

    def get(self):
        return self.catalog


class Desk:
    """A browser without a script, whose user has a role."""

    def __init__(self, role=Role.EDITOR, language="en", **catalog):
        self.stores = {shard: MemoryProductStore(shard) for shard in DEFAULT_MAP.shards}
        catalog.setdefault("views", MemoryViewStore())
        self.catalog = Catalog(DEFAULT_MAP, self.stores, MemoryClaimStore(), **catalog)
        self.role, self.language, self.user_id = role, language, str(uuid4())
        settings = load_settings(session_secret=_SECRET, service_secret=_SECRET, auth_server_url="http://127.0.0.1:9")
        self.app = create_app(settings, _Provider(self.catalog))
        self.app.before_request_funcs[None].insert(0, self._log_in)
        self._client = self.app.test_client()

    def _log_in(self):
        ends = datetime.now(UTC) + timedelta(minutes=5)
        g.identity = Identity(self.user_id, "ana", self.role, "session", ends)

    def get(self, path, **headers):
        headers.setdefault("Accept-Language", self.language)
        return self._client.get(path, headers=headers)

    def part(self, path):
        """What a script asks for."""
        return self.get(path, **{"HX-Request": "true"})

    def post(self, path, form, *, page="/products", part=False):
        """Send a form of a page."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get(page).text)[1]
        headers = {"Accept-Language": self.language, "Referer": f"http://localhost{page}"}
        headers |= {"HX-Request": "true"} if part else {}
        return self._client.post(path, data={"csrf_token": token, **form}, headers=headers)
