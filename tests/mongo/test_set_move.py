"""A replica set whose members come back under other addresses, all of them or not."""

import base64
import secrets
import shutil
import subprocess
from contextlib import ExitStack, contextmanager

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from prodcore.deadline import budget
from prodcore.errors import Conflict
from prodcore.installation import no_progress
from prodcore.installation.mongod import MemberFiles, find_mongod, render_mongod
from prodcore.installation.set_up import SetBringUp
from prodcore.local import find_free_ports
from prodcore.mongo.admin.replica_set_admin import DatabaseUser, ReplicaSetAdmin, SetTiming, keyfile_login
from tests.support.waiting import wait_until

TIMING = SetTiming(1_000, 250)
ROOT = DatabaseUser("root", secrets.token_urlsafe(12), (("root", "admin"),))


class Members:
    """Data directories of three members, which may be started at any ports."""

    def __init__(self, directory, keyfile=None):
        self.directory = directory
        self.keyfile = keyfile or directory / "keyfile"
        if keyfile is None:
            self.keyfile.write_text(base64.b64encode(secrets.token_bytes(48)).decode())
            self.keyfile.chmod(0o600)
        self.login = keyfile_login(self.keyfile.read_text())

    @contextmanager
    def running(self, ports):
        """Inside the block a member runs at each port, with its data; gives their addresses."""
        with ExitStack() as stack:
            for number, port in enumerate(ports):
                stack.enter_context(self._member(number, port))
            yield [f"127.0.0.1:{port}" for port in ports]

    @contextmanager
    def _member(self, number, port):
        data = self.directory / str(number)
        data.mkdir(exist_ok=True)
        config = self.directory / f"{number}.conf"
        config.write_text(render_mongod("rsA", "127.0.0.1", port, MemberFiles(str(data), str(self.keyfile))))
        with (self.directory / f"{number}.log").open("ab") as log:
            process = subprocess.Popen([find_mongod(None).path, "--config", config], stdout=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)

    @contextmanager
    def admin(self, addresses):
        admin = ReplicaSetAdmin("rsA", addresses, self.login)
        try:
            with budget(120):
                yield admin
        finally:
            admin.close()

    def make_set(self, addresses):
        with self.admin(addresses) as admin:
            job = self.bring_up(addresses, is_new=True)
            job.until_writable(admin)
            job.until_complete(admin)

    def bring_up(self, addresses, *, is_new):
        def wait_listening(address):
            wait_until(lambda: answers(address), f"{address} listens", 60)

        return SetBringUp("rsA", addresses, self.login, [ROOT], TIMING, is_new, True, wait_listening, no_progress)


def answers(address):
    try:
        with MongoClient(address, directConnection=True, serverSelectionTimeoutMS=1_000) as client:
            return client.admin.command("ping")
    except PyMongoError:
        return None


@pytest.fixture
def members(tmp_path):
    return Members(tmp_path)


@pytest.fixture
def ports():
    """Six free ports: three old ones, three new ones."""
    first = find_free_ports().rsa
    return range(first, first + 6)


def test_members_that_have_all_moved_take_their_new_addresses_with_all_data(members, ports):
    old, new = ports[:3], ports[3:]
    with members.running(old) as addresses:
        members.make_set(addresses)
        with MongoClient(addresses, replicaSet="rsA", username="root", password=ROOT.password) as client:
            client.products_db.products.insert_many([{"_id": n} for n in range(1000)])
        with members.admin(addresses) as admin:
            assert not admin.follow_move()

    with members.running(new) as addresses, members.admin(addresses) as admin:
        job = members.bring_up(addresses, is_new=False)
        for address in addresses:
            job.wait_listening(address)
        assert admin.follow_move()
        job.until_writable(admin)
        job.until_complete(admin)
        assert admin.count_documents("products_db", "products") == 1000
        assert sorted(admin.roles().values()) == ["PRIMARY", "SECONDARY", "SECONDARY"]
        assert not admin.follow_move()
        with MongoClient(addresses, replicaSet="rsA", username="root", password=ROOT.password, w=3) as client:
            client.products_db.products.insert_one({"_id": "new"})


def test_a_member_of_another_set_among_them_stops_the_move(members, ports, tmp_path):
    old, new = ports[:3], ports[3:]
    (tmp_path / "other").mkdir()
    stranger = Members(tmp_path / "other", members.keyfile)
    for one in (members, stranger):
        with one.running(old) as addresses:
            one.make_set(addresses)
    shutil.rmtree(tmp_path / "2")
    (tmp_path / "other/2").rename(tmp_path / "2")

    with members.running(new) as addresses, members.admin(addresses) as admin:
        for address in addresses:
            wait_until(lambda address=address: answers(address), f"{address} listens", 60)
        with pytest.raises(Conflict, match="are not of one set"):
            admin.follow_move()
        for address in addresses:
            assert admin._stored_config(address)["members"][0]["host"] == f"127.0.0.1:{old[0]}"
