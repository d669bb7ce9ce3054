"""Every test finds a system without users."""

from datetime import UTC, datetime

import pytest

from tests.support.identity import AuthService, Worker, auth_settings, web_settings
from tests.support.waiting import wait_until


@pytest.fixture(scope="session")
def auth_db(raw_clients):
    return raw_clients["rsU"]["auth_db"]


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("auth") / "keys"


@pytest.fixture(scope="session")
def running_authsvc(cluster, keys_dir):
    authsvc = AuthService(auth_settings(cluster, keys_dir))
    yield authsvc
    authsvc.stop()
    authsvc.provider.close()


@pytest.fixture(scope="session")
def audit(raw_clients):
    """The entries of the audit, as root, who may do everything to them."""
    return raw_clients["rsU"]["audit_db"]["audit"]


@pytest.fixture
def authsvc(running_authsvc, auth_db, audit):
    """The login service before anybody has an account."""
    limits, moment = running_authsvc.service.accounts._limits, datetime.now(UTC)
    limits._clock = lambda: moment  # waits do not end by themselves, however slow the machine is
    audit.delete_many({})
    for name in auth_db.list_collection_names():
        if not name.startswith("system."):
            auth_db[name].delete_many({})
    return running_authsvc


@pytest.fixture
def admin(authsvc):
    """The first admin's tokens; the password was given just now."""
    tokens = authsvc.set_up()
    authsvc.prove(tokens["access_token"])
    return tokens


@pytest.fixture(scope="session")
def running_workers(cluster, running_authsvc):
    workers = [Worker(web_settings(cluster, running_authsvc.url)) for _ in range(2)]
    yield workers
    for worker in workers:
        worker.close()


@pytest.fixture
def workers(running_workers, authsvc):
    """Two workers that know authsvc and see it answer."""
    for worker in running_workers:
        worker.client.gate._closed.clear()
        worker.call("GET", "/session", token="x.y.z")
        wait_until(lambda w=worker: w.trust.unreachable_since is None and w.trust._cursor, "the worker sees authsvc")
    return running_workers
