"""The REST API, under ``/api/v1``."""

from apiflask import APIFlask

from webapp.api import (
    account,
    administration,
    cluster,
    imports,
    product_bulk,
    product_export,
    product_history,
    product_list,
    products,
    session,
    shards,
    users,
)
from webapp.api.document import install_document


def register(app: APIFlask) -> None:
    """Add every part of the API."""
    catalog = (product_list, product_export, product_bulk, products, product_history, imports, shards)
    for part in (session, account, users, administration, *catalog, cluster):
        app.register_blueprint(part.blueprint, url_prefix="/api/v1")
    app.config["ANSWERS"] = {product_export.ENDPOINT: tuple(product_export.TYPES.values())}
    install_document(app)
