"""A create that is repeated under its key makes one product, though the primary and the worker die under it."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import psutil
import requests

from tests.support.faults import wait_healthy
from tests.support.site import TIMEOUT_SECONDS

PRODUCTS = 40
SECONDS = 90


def kill_workers(site):
    """SIGKILL to the processes of webapp that answer requests."""
    port = site.cluster.plan.ports.web
    listening = {c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.pid}
    workers = [p for pid in listening for p in psutil.Process(pid).children()] or [psutil.Process(p) for p in listening]
    assert workers
    for worker in workers:
        worker.kill()


def primary_of_rsa(site, token):
    sets = site.call("GET", "/cluster", token=token).json()["sets"]
    (rsa,) = [s for s in sets if s["name"] == "rsA"]
    return rsa["primary"]


def test_every_key_makes_one_product_across_a_failover_and_a_killed_worker(site):
    token, word = site.token(), uuid.uuid4().hex[:12]
    primary = primary_of_rsa(site, token)
    lost = []

    def create(number):
        """Ask until there is an answer, as a careful caller does."""
        ends = time.monotonic() + SECONDS
        body = {"name": f"B{number} {word}", "price": "1"}
        while True:
            try:
                answer = site.call("POST", "/products", body, token=token, **{"Idempotency-Key": f"{word}-{number}"})
            except requests.RequestException:
                lost.append(number)
            else:
                if answer.status_code == 201:
                    return answer.json()
                assert answer.status_code in (503, 504), answer.text
            assert time.monotonic() < ends

    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(create, number) for number in range(PRODUCTS)]
        made[8].result(timeout=SECONDS)
        site.cluster.members.kill(primary)
        kill_workers(site)
        answers = [future.result(timeout=SECONDS) for future in made]
    site.cluster.members.start(primary)
    wait_healthy(site)
    assert lost  # requests were under way when the worker died
    url = f"{site.url}/api/v1/products?search={word}&limit=200"
    listed = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_SECONDS).json()["items"]
    assert sorted(p["id"] for p in listed) == sorted(p["id"] for p in answers)
    assert {p["version"] for p in listed} == {1}
