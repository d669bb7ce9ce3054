"""What apply would do, from what is wanted and what was observed."""

import base64
import copy

import pytest

from prodcore.deploy.config import Deployment
from prodcore.deploy.layout import Layout
from prodcore.deploy.observe import Observed, ObservedHost, ObservedSet
from prodcore.deploy.plan import make_plan
from prodcore.deploy.render import Inputs, render_hosts, write_rendering
from prodcore.deploy.spec import (
    CURRENT_RELEASE,
    KEYFILE_PATH,
    MARK,
    PROXY,
    RELEASES_DIR,
    SECRETS_MARK,
    SETTINGS_DIR,
    UNITS_DIR,
    Binary,
    instance_spec,
    network_spec,
    profile_spec,
)
from prodcore.deploy.status import differences, read_status
from prodcore.errors import Conflict
from prodcore.installation.secret import new_secrets
from prodcore.installation.sets import REPLICA_SETS

SECRETS = new_secrets()
INPUTS = Inputs(SECRETS, "k" * 60, "0123456789ab", Binary("/opt/mongod/abc/mongod", "/here/mongod"))
LAYOUT = Layout(Deployment())
SPECS = render_hosts(LAYOUT, INPUTS)
WRITTEN, STARTED = 1_000.0, 2_000.0


def inside_of(spec):
    """A container that is as it shall be."""
    access = {f.path: {"mode": f.mode, "owner": f.owner, "sha256": f.sha256} for f in spec.files}
    unit = {"loaded": True, "active": "active", "enabled": "enabled", "reload": False, "started": STARTED}
    return {
        "files": access,
        "directories": {d.path: {"mode": d.mode, "owner": d.owner, "sha256": ""} for d in spec.directories},
        "links": {link.path: link.target for link in spec.links},
        "binaries": [b.path for b in spec.binaries],
        "packages": list(spec.packages),
        "accounts": list(spec.accounts),
        "releases": [spec.release],
        "units": {u.name: dict(unit) for u in spec.units},
        "changed": {path: WRITTEN for u in spec.units for path in u.files},
        "machine": "x86_64 Python 3.11.2",
        "urls": {url: [200, ""] for url in spec.ready},
    }


class World:
    """A deployment that is as it shall be; a test breaks something."""

    def __init__(self):
        self.network = network_spec(LAYOUT)
        self.profile = profile_spec(LAYOUT)
        self.instances = {
            h.name: {**copy.deepcopy(instance_spec(LAYOUT, h, "mark")), "name": h.name, "status": "Running"}
            | {"architecture": "x86_64", "description": "", "ephemeral": False}
            for h in LAYOUT.hosts
        }
        self.insides = {name: inside_of(spec) for name, spec in SPECS.items()}
        self.sets = {
            name: ObservedSet((), {m: "SECONDARY" if n else "PRIMARY" for n, m in enumerate(LAYOUT.set_members[name])})
            for name in REPLICA_SETS
        }
        self.unprepared = ()

    def observed(self):
        insides = {name: ObservedHost(answer) for name, answer in self.insides.items()}
        return Observed(False, self.network, self.profile, self.instances, insides, self.sets, self.unprepared)

    def plan(self):
        return make_plan(LAYOUT, SPECS, "mark", self.observed())

    def changes(self):
        return [(c.where, c.action, c.what, c.reason) for c in self.plan().changes]


@pytest.fixture
def world():
    return World()


def test_nothing_is_done_where_all_is_well(world):
    assert world.changes() == []
    assert all(part.is_healthy for part in read_status(LAYOUT, SPECS, world.observed()))


def test_a_unit_that_was_edited_is_written_again_and_its_members_restart(world):
    path = f"{UNITS_DIR}/mongod@.service"
    edited = base64.b64encode(b"[Service]\nExecStart=/bin/true\n").decode()
    world.insides["db1"]["files"][path] |= {"sha256": "other", "content": edited}
    assert world.changes() == [("db1", "write", f"file {path}", "its content differs")] + [
        ("db1", "restart", f"unit mongod@{port}.service", f"{path} is newer than its process")
        for port in (27017, 27018, 27019)
    ]
    assert world.plan().hosts["db1"].needs_reload
    (shown,) = differences(SPECS, world.observed())
    assert f"--- a/db1{path}\n+++ b/db1{path}\n" in shown
    assert "-ExecStart=/bin/true\n" in shown


def test_a_missing_member_is_named(world):
    world.sets["rsB"] = ObservedSet((("add", "member 10.10.10.13:27019", "the set does not know it"),), {})
    assert world.changes() == [("rsB", "add", "member 10.10.10.13:27019", "the set does not know it")]
    assert world.plan().sets_to_change == {"rsB"}


def test_a_removed_proxy_is_named(world):
    del world.instances["web-server"]["devices"][PROXY]
    assert world.changes() == [("web-server", "add", f"device {PROXY}", "it is missing")]
    (put,) = [one.put for one in world.plan().incus.instances if one.put]
    assert put["devices"][PROXY]["listen"] == "tcp:0.0.0.0:3000"
    assert put["config"] == world.instances["web-server"]["config"]


def test_a_proxy_that_is_no_longer_wanted_goes_and_other_devices_stay(world):
    devices = world.instances["auth-server"]["devices"]
    devices[PROXY] = {"type": "proxy"}
    devices["gpu"] = {"type": "gpu"}
    assert world.changes() == [("auth-server", "remove", f"device {PROXY}", "it is not wanted")]
    (put,) = [one.put for one in world.plan().incus.instances if one.put]
    assert set(put["devices"]) == {"eth0", "gpu"}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [({"mode": 0o644}, "its mode is 0644, not 0600"), ({"owner": "nobody"}, "its owner is nobody, not root")],
)
def test_a_secret_that_others_may_read_is_mended_without_a_restart(world, entry, reason):
    path = f"{SETTINGS_DIR}/webapp/session_secret"
    world.insides["web-server"]["files"][path] |= entry
    assert world.changes() == [("web-server", "repair", f"file {path}", reason)]
    assert not world.plan().hosts["web-server"].rewritten


def test_a_process_older_than_its_files_restarts_so_a_killed_apply_can_go_on(world):
    world.insides["auth-server"]["changed"][f"{SETTINGS_DIR}/authsvc.env"] = STARTED + 1
    assert world.changes() == [
        (
            "auth-server",
            "restart",
            "unit prodctl-authsvc.service",
            f"{SETTINGS_DIR}/authsvc.env is newer than its process",
        )
    ]


def test_a_unit_that_stopped_or_would_not_come_back_is_named(world):
    unit = world.insides["db3"]["units"]["prodctl-guard.service"]
    unit |= {"active": "failed", "enabled": "disabled"}
    assert world.changes() == [
        ("db3", "enable", "unit prodctl-guard.service", "it would not start with the container"),
        ("db3", "start", "unit prodctl-guard.service", "it is failed"),
    ]
    ill = [p.part for p in read_status(LAYOUT, SPECS, world.observed()) if not p.is_healthy]
    assert ill == ["prodctl-guard.service"]


def test_a_new_release_is_installed_linked_and_everything_of_prodctl_restarts_but_no_member(world):
    for answer in world.insides.values():
        answer["releases"] = ["older", "oldest"]
        answer["links"][CURRENT_RELEASE] = f"{RELEASES_DIR}/older"
    plan = world.plan()
    restarted = {unit for host in plan.hosts.values() for unit in host.restart}
    assert restarted == {
        "prodctl-authsvc.service",
        "prodctl-webapp.service",
        "prodctl-guard.service",
        "prodctl-drills.service",
    }
    assert {host.release for host in plan.hosts.values()} == {"0123456789ab"}
    assert {host.forget for host in plan.hosts.values()} == {("oldest",)}


def test_on_an_empty_incus_everything_is_to_be_made(world):
    plan = make_plan(LAYOUT, SPECS, "mark", Observed())
    assert plan.incus.create_network == network_spec(LAYOUT)
    assert [one.create for one in plan.incus.instances] == [True] * 5
    assert plan.sets_to_change == set(REPLICA_SETS)
    assert not plan.is_prepared


@pytest.mark.parametrize("config", [{}, {MARK: "somebody-else"}])
@pytest.mark.parametrize("what", ["the container db1", "the profile prodctl"])
def test_what_is_not_ours_is_refused_with_its_owner(world, what, config):
    if "container" in what:
        world.instances["db1"]["config"] = config
    else:
        world.profile = world.profile | {"config": config}
    owner = "the deployment somebody-else" if config else "nobody that prodctl knows"
    with pytest.raises(Conflict, match=f"{what} belongs to {owner}: it is left alone"):
        world.plan()


def test_a_bridge_of_somebody_else_is_used_if_it_is_the_one_described_and_never_changed(world):
    world.network = {**world.network, "config": {"ipv4.address": "10.10.10.1/24", "ipv4.nat": "false"}}
    assert world.changes() == []
    world.network["config"]["ipv4.address"] = "10.20.0.1/24"
    with pytest.raises(Conflict, match=r"is a bridge at 10\.20\.0\.1/24, not 10\.10\.10\.1/24"):
        world.plan()


def test_containers_made_with_other_secrets_are_not_touched(world):
    world.instances["db1"]["config"][SECRETS_MARK] = "other"
    with pytest.raises(Conflict, match="other secrets"):
        world.plan()


def test_only_those_who_need_a_secret_hold_it():
    held = {(name, file.path): file for name, spec in SPECS.items() for file in spec.files if file.path != KEYFILE_PATH}

    def holders(secret):
        return {name for (name, _path), file in held.items() if secret.encode() in file.content}

    assert holders(SECRETS.root) == set()
    assert holders(SECRETS.session) == {"web-server"}
    assert holders(SECRETS.web) == {"web-server"}
    assert holders(SECRETS.auth) == {"auth-server"}
    assert holders(SECRETS.service) == {"web-server", "auth-server"}
    assert holders(SECRETS.operator) == {"db1", "db2", "db3"}
    secret = [f for f in held.values() if any(s.encode() in f.content for s in (SECRETS.web, SECRETS.operator))]
    assert {(f.mode, f.owner, f.is_secret) for f in secret} == {(0o600, "root", True)}


def test_a_rendering_holds_no_secret(tmp_path):
    paths = write_rendering(LAYOUT, SPECS, "mark", tmp_path)
    text = "".join(path.read_text() for path in paths)
    assert not [s for s in (SECRETS.root, SECRETS.web, SECRETS.service, INPUTS.keyfile) if s in text]
    assert '"host": "10.10.10.14:27019"' in (tmp_path / "sets/rsU.json").read_text()
    assert (tmp_path / "hosts/db1/files/etc/mongod/27017.conf").exists()
