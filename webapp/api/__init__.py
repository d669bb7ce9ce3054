"""The REST API, under ``/api/v1``."""

from apiflask import APIFlask

from webapp.api import account, administration, cluster, imports, product_list, products, session, shards, users
from webapp.api.document import install_document


def register(app: APIFlask) -> None:
    """Add every part of the API."""
    for part in (session, account, users, administration, product_list, products, imports, shards, cluster):
        app.register_blueprint(part.blueprint, url_prefix="/api/v1")
    install_document(app)
