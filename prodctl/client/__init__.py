"""The REST API and the credentials, as the command line uses them. Importing this loads nothing that is slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prodctl.client.api import ApiClient


def open_client() -> ApiClient:
    """The REST API of the webapp that the settings name, with this user's login or token. Raises ConfigError."""
    from prodcore.settings import load_settings
    from prodctl.client.api import ApiClient

    return ApiClient(load_settings())
