"""Fixtures of real replica sets, started once a run; every test finds them without products."""

import pytest
from pymongo import MongoClient, uri_parser

from prodcore.app.cluster import cluster_status
from prodcore.app.wiring import open_catalog, prepare_cluster
from prodcore.local import LocalCluster, LocalPlan, find_free_ports
from prodcore.settings import load_settings
from tests.support.waiting import wait_until


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Three replica sets without services, with fail points allowed."""
    cluster = LocalCluster(
        LocalPlan(tmp_path_factory.mktemp("mongo") / "cluster", find_free_ports(), test_commands=True)
    )
    cluster.up()
    prepare_cluster(load_settings(**cluster.addresses("root")))
    yield cluster
    cluster.destroy()


@pytest.fixture(scope="session")
def raw_clients(cluster):
    """A bare pymongo client for each set, as its root."""
    uris = cluster.addresses("root")
    names = {"rsA": "db1_url", "rsB": "db2_url", "rsU": "db3_url"}
    clients = {
        name: MongoClient(uris[setting].get_secret_value(), uuidRepresentation="standard", w="majority")
        for name, setting in names.items()
    }
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture
def raw_products(raw_clients):
    """The collection of products of each shard, empty, for looking past our own code."""
    products = {name: raw_clients[name]["products_db"]["products"] for name in ("rsA", "rsB")}
    for collection in products.values():
        collection.delete_many({})
    return products


@pytest.fixture(scope="session")
def settings(cluster):
    """The settings of webapp, with its least rights."""
    return load_settings(**cluster.addresses("web"))


@pytest.fixture(scope="session")
def shared_catalog(settings):
    with open_catalog(settings) as catalog:
        yield catalog


@pytest.fixture
def catalog(shared_catalog, raw_products):
    """The catalogue without products."""
    return shared_catalog


@pytest.fixture
def put_back_map(cluster, raw_clients):
    """Whatever becomes of the shard map, at the end it is the first one again."""
    yield
    raw_clients["rsU"]["prodctl_meta"]["shard_map"].delete_many({})
    for name in ("rsA", "rsB"):
        raw_clients[name]["products_db"]["owned_ranges"].delete_many({})
    prepare_cluster(load_settings(**cluster.addresses("root")))


@pytest.fixture
def direct_client(cluster):
    """A client of one member, as root."""
    login = uri_parser.parse_uri(cluster.addresses("root")["db2_url"].get_secret_value())
    name_and_password = {"username": login["username"], "password": login["password"]}
    return lambda address: MongoClient(f"mongodb://{address}/?directConnection=true", **name_and_password)


def wait_until_healthy(settings):
    """Until every member of every set is in its place again, whatever the test before did to it."""

    def problems():
        return [problem for status in cluster_status(settings).sets for problem in status.problems]

    wait_until(lambda: not problems(), "every set is whole", 60, every=0.2)
