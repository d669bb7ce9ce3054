"""What happened, for the audit: who did what to whom, when, from where, and whether it came to pass. No secrets."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from flask import g

from authsvc.callers import caller
from authsvc.service import current_service
from authsvc.sessions import utc_now
from prodcore.errors import ProdError

log = structlog.get_logger("audit")


@contextmanager
def note(action: str, subject: str = "", **details: Any) -> Iterator[dict[str, Any]]:
    """Keep an entry about what the block does, and how it ended.

    The block may complete the entry. What could not be kept in the database is at least in the log.
    """
    identity = g.get("identity")
    origin = caller()
    entry: dict[str, Any] = {
        "_id": uuid.uuid4().hex,
        "at": utc_now(),
        "action": action,
        "subject": subject[:200],
        "by": identity.username if identity else "",
        "address": origin.address,
        "device": origin.device,
        "request_id": origin.request_id,
        "details": {name: str(value) for name, value in details.items()},
        "outcome": "done",
    }
    try:
        yield entry
    except ProdError as error:
        entry["outcome"] = error.code
        raise
    finally:
        try:
            current_service().stores.audit.add([entry])
        except ProdError as error:
            log.warning("audit", kept=False, why=error.code, **{k: str(v) for k, v in entry.items() if k != "_id"})
