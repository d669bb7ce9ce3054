"""Breaking members of a running site, and putting them back."""

import time
from contextlib import contextmanager

_STOP_COPYING = {"configureFailPoint": "stopReplProducer"}


def wait_healthy(site):
    """Until all members are back in their places; the deadline is generous: they may have to catch up."""
    deadline = time.monotonic() + 60
    while not all(program.is_healthy for program in site.cluster.status()):
        assert time.monotonic() < deadline, site.cluster.status()
        site.cluster.up()


def members(site, replica_set):
    return [member.address for member in site.cluster.plan.members_of(replica_set)]


def primary(page, replica_set):
    return page.locator(f"[data-set={replica_set}]").get_attribute("data-primary")


@contextmanager
def stopped(site, addresses):
    """Inside the block these members are dead."""
    for address in addresses:
        site.cluster.members.kill(address)
    try:
        yield
    finally:
        for address in addresses:
            site.cluster.members.start(address)
        wait_healthy(site)


@contextmanager
def paused(site, address):
    """Inside the block this member hangs."""
    site.cluster.members.pause(address)
    try:
        yield
    finally:
        site.cluster.members.resume(address)
        wait_healthy(site)


@contextmanager
def failing(client, commands, **what):
    """Make the primary fail the next of these commands, as a fail point of the server does."""
    times = what.pop("times", 1)
    point = {"configureFailPoint": "failCommand", "mode": {"times": times}}
    client.admin.command({**point, "data": {"failCommands": commands, **what}})
    try:
        yield
    finally:
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@contextmanager
def without_majority(raw_clients, direct_client, name):
    """Inside the block no secondary copies, so nothing new is on a majority."""
    status = raw_clients[name].admin.command("replSetGetStatus")
    secondaries = [direct_client(m["name"]) for m in status["members"] if m["stateStr"] == "SECONDARY"]
    try:
        for member in secondaries:
            member.admin.command({**_STOP_COPYING, "mode": "alwaysOn"})
        yield
    finally:
        for member in secondaries:
            member.admin.command({**_STOP_COPYING, "mode": "off"})
            member.close()
