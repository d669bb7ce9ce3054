"""The same handlers in FastAPI with the driver's own asyncio client and a pydantic model for what comes in."""

import os

from bson import ObjectId
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from pymongo import AsyncMongoClient, WriteConcern

MAJORITY = WriteConcern(w="majority", j=True)
app = FastAPI()
collections = {}


class Product(BaseModel):
    name: str
    variant: str = ""
    category: str = ""
    description: str = ""
    price: str
    currency: str = "EUR"
    stock: int = 0
    tags: list[str] = []
    active: bool = True


def collection(name):
    if not collections:
        for shard, variable in (("A", "BENCH_RSA"), ("B", "BENCH_RSB")):
            database = AsyncMongoClient(os.environ[variable])["bench_db"]
            collections[shard] = database.get_collection("products", write_concern=MAJORITY)
    return collections["A" if "A" <= name[:1].upper() <= "M" else "B"]


def shown(product):
    product["_id"] = str(product["_id"])
    return product


@app.get("/products/{name}")
async def get_product(name: str):
    product = await collection(name).find_one({"name": name})
    if product is None:
        raise HTTPException(404)
    return shown(product)


@app.get("/products")
async def list_products(after: str = "", search: str | None = None):
    wanted = {"name": {"$regex": f"^{search}"}} if search else {"name": {"$gt": after}}
    found = collection(search or after).find(wanted).sort("name").limit(50)
    return [shown(product) async for product in found]


@app.post("/products", status_code=201)
async def add_product(product: Product):
    document = {"_id": ObjectId(), **product.model_dump()}
    await collection(product.name).insert_one(document)
    return shown(document)
