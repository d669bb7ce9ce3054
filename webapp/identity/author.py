"""Who makes a change: whoever is logged in, by this request."""

from __future__ import annotations

from flask import g

from prodcore.product.history import Author
from webapp.identity.caller import required_identity


def current_author() -> Author:
    """The author of what this request changes. Raises NotAuthenticated."""
    return Author(required_identity().username, g.request_id)
