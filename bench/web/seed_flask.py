"""The first project's handlers in bare Flask: two collections, the letter rule, no users, no validation."""

import os

from bson import ObjectId
from flask import Flask, jsonify, request
from pymongo import MongoClient, WriteConcern

MAJORITY = WriteConcern(w="majority", j=True)
app = Flask(__name__)
collections = {}


def collection(name):
    """The first letter decides. Clients are made after the fork."""
    if not collections:
        for shard, variable in (("A", "BENCH_RSA"), ("B", "BENCH_RSB")):
            database = MongoClient(os.environ[variable])["bench_db"]
            collections[shard] = database.get_collection("products", write_concern=MAJORITY)
    return collections["A" if "A" <= name[:1].upper() <= "M" else "B"]


def shown(product):
    product["_id"] = str(product["_id"])
    return product


@app.get("/products/<name>")
def get_product(name):
    product = collection(name).find_one({"name": name})
    return jsonify(shown(product)) if product else (jsonify({"error": "not found"}), 404)


@app.get("/products")
def list_products():
    after, search = request.args.get("after", ""), request.args.get("search")
    wanted = {"name": {"$regex": f"^{search}"}} if search else {"name": {"$gt": after}}
    found = collection(search or after).find(wanted).sort("name").limit(50)
    return jsonify([shown(product) for product in found])


@app.post("/products")
def add_product():
    product = request.get_json()
    product["_id"] = ObjectId()
    collection(product["name"]).insert_one(product)
    return jsonify(shown(product)), 201
