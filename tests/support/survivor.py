"""The member that will be left of a set: what it knows to be on a majority before the others are killed."""

from uuid import UUID

import pymongo
from pymongo.read_concern import ReadConcern

from tests.support.waiting import wait_until


def wait_until_known(cluster, address, product_id):
    """Until the member would show it by itself: an acknowledged write reaches the last member a moment later."""
    login = cluster.addresses("root")["db2_url"].get_secret_value().split("//")[1].split("@")[0]
    uri = f"mongodb://{login}@{address}/?directConnection=true&authSource=admin&readPreference=nearest"
    with pymongo.MongoClient(uri, uuidRepresentation="standard") as member:
        products = member["products_db"].get_collection("products", read_concern=ReadConcern("majority"))
        wait_until(lambda: products.find_one({"_id": UUID(str(product_id))}), f"{address} to know the product", 30)
