"""What webapp and authsvc share: strict JSON, problem+json, request ids, budgets, logs, metrics, health.

The only part of the core that knows Flask. ``install(app, …)`` sets all of it up.
"""

from prodcore.web.install import install
from prodcore.web.strict_json import json_response

__all__ = ["install", "json_response"]
