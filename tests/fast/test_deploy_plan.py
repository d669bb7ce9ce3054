"""What apply would do, from what is wanted and what was observed."""

import base64
import copy
import json
from dataclasses import replace

import pytest

from prodcore.deploy.config import Deployment, SetTable
from prodcore.deploy.layout import Layout
from prodcore.deploy.observe import Observed, ObservedHost, ObservedSet
from prodcore.deploy.plan import make_plan
from prodcore.deploy.render import Inputs, render_hosts, write_rendering
from prodcore.deploy.spec import (
    CURRENT_RELEASE,
    KEYFILE_PATH,
    MARK,
    MONGOD_DIR,
    PROXY,
    RELEASE_MANIFEST,
    RELEASES_DIR,
    SECRETS_MARK,
    SETTINGS_DIR,
    UNITS_DIR,
    Binary,
    instance_spec,
    network_spec,
    profile_spec,
)
from prodcore.deploy.status import differences, drift, read_status
from prodcore.errors import Conflict
from prodcore.installation.secret import new_secrets
from prodcore.installation.sets import REPLICA_SETS, SETS, table_of

SECRETS = new_secrets()
INPUTS = Inputs(SECRETS, "k" * 60, "0123456789ab", Binary("/opt/mongod/abc/mongod", "/here/mongod"))
LAYOUT = Layout(Deployment())
SPECS = render_hosts(LAYOUT, INPUTS)
WRITTEN, STARTED = 1_000.0, 2_000.0


def inside_of(spec):
    """A container that is as it shall be."""
    access = {f.path: {"mode": f.mode, "owner": f.owner, "sha256": f.sha256} for f in spec.files}
    unit = {
        "loaded": True,
        "active": "active",
        "enabled": "enabled",
        "reload": False,
        "started": STARTED,
        "drop_ins": [],
    }
    return {
        "files": access,
        "directories": {d.path: {"mode": d.mode, "owner": d.owner, "sha256": ""} for d in spec.directories},
        "links": {link.path: link.target for link in spec.links},
        "binaries": [b.path for b in spec.binaries],
        "packages": list(spec.packages),
        "accounts": list(spec.accounts),
        "releases": [spec.release],
        "release": {"digest": "d", "damaged": [], "count": 0},
        "drop_ins": {},
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
        self.preparation = ObservedSet()
        self.more = {}

    def observe(self):
        insides = {
            name: one if isinstance(one, ObservedHost) else ObservedHost(one) for name, one in self.insides.items()
        }
        return Observed(
            False, self.network, self.profile, self.instances, insides, self.sets, self.preparation, **self.more
        )

    def plan(self):
        return make_plan(LAYOUT, SPECS, "mark", self.observe())

    def changes(self):
        return [(c.where, c.action, c.what, c.reason) for c in self.plan().changes]


@pytest.fixture
def world():
    return World()


def test_nothing_differs_where_everything_is_as_described(world):
    assert world.changes() == []
    assert all(part.is_healthy for part in read_status(LAYOUT, SPECS, world.observe()))


def test_a_unit_that_was_edited_is_written_again_and_its_members_restart(world):
    path = f"{UNITS_DIR}/mongod@.service"
    edited = base64.b64encode(b"[Service]\nExecStart=/bin/true\n").decode()
    world.insides["db1"]["files"][path] |= {"sha256": "other", "content": edited}
    assert world.changes() == [("db1", "write", f"file {path}", "its content differs")] + [
        ("db1", "restart", f"unit mongod@{port}.service", f"{path} is newer than its process")
        for port in (27017, 27018, 27019)
    ]
    assert world.plan().hosts["db1"].needs_reload
    shown, *rest = differences(SPECS, world.observe(), world.plan())
    assert f"--- a/db1{path}\n+++ b/db1{path}\n" in shown
    assert "-ExecStart=/bin/true\n" in shown
    assert [line.partition(":")[0] for line in rest] == ["# db1"] * 3


def test_a_missing_member_is_named(world):
    world.sets["rsB"] = ObservedSet((("add", "member 10.10.10.13:27019", "the set does not know it"),), {})
    assert world.changes() == [("rsB", "add", "member 10.10.10.13:27019", "the set does not know it")]


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
    ill = [p.part for p in read_status(LAYOUT, SPECS, world.observe()) if not p.is_healthy]
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
    assert {c.where for c in plan.changes if c.action == "initiate"} == set(REPLICA_SETS)
    assert not plan.is_prepared


@pytest.mark.parametrize("config", [{}, {MARK: "somebody-else"}])
@pytest.mark.parametrize("what", ["the container db1", "the profile prodctl"])
def test_what_is_not_ours_is_refused_with_its_owner(world, what, config):
    if "container" in what:
        world.instances["db1"]["config"] = config
    else:
        world.profile = world.profile | {"config": config}
    owner = "the deployment somebody-else" if config else "no deployment of prodctl"
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


def test_a_damaged_release_is_installed_again_and_its_programs_restart(world):
    world.insides["web-server"]["release"] = {
        "digest": "e", "damaged": ["lib/python3.11/site-packages/flask/app.py"], "count": 58,
    }  # fmt: skip
    reason = "lib/python3.11/site-packages/flask/app.py and 57 more files missing or changed"
    manifest = f"{RELEASES_DIR}/0123456789ab/{RELEASE_MANIFEST}"
    assert world.changes() == [
        ("web-server", "repair", "release 0123456789ab", reason),
        ("web-server", "restart", "unit prodctl-webapp.service", f"{manifest} is newer than its process"),
    ]
    assert world.plan().hosts["web-server"].release == "0123456789ab"


def test_a_set_that_cannot_be_asked_is_unknown_and_nothing_is_planned_on_it(world):
    world.sets["rsU"] = ObservedSet(unknown="db3 has no release that could ask it")
    world.preparation = ObservedSet(unknown="db3 has no release that could ask it")
    plan = world.plan()
    assert plan.changes == ()
    assert [(c.where, c.action) for c in plan.unknown] == [("rsU", "unknown"), ("cluster", "unknown")]
    assert not plan.is_empty
    assert not plan.is_prepared
    assert [d.code for d in drift(plan)] == ["unknown", "unknown"]


def test_of_a_container_that_is_stopped_only_its_start_is_planned(world):
    world.instances["db3"]["status"] = "Stopped"
    world.insides["db3"] = ObservedHost(unknown="Instance is not running")
    plan = world.plan()
    assert [(c.where, c.action) for c in plan.changes] == [("db3", "start")]
    assert [(c.where, c.reason) for c in plan.unknown] == [("db3", "Instance is not running")]
    states = {p.state for p in read_status(LAYOUT, SPECS, world.observe()) if p.container == "db3"}
    assert states == {"stopped", "unknown"}


def test_a_drop_in_that_is_not_ours_is_in_plan_diff_and_status_and_set_aside(world):
    path = f"{UNITS_DIR}/mongod@27017.service.d/limits.conf"
    content = base64.b64encode(b"[Service]\nLimitNOFILE=100\n").decode()
    world.insides["db1"]["drop_ins"] = {path: {"mode": 0o644, "owner": "root", "sha256": "x", "content": content}}
    assert world.changes()[0][:3] == ("db1", "set aside", f"file {path}")
    plan = world.plan()
    assert plan.hosts["db1"].set_aside == {path: (f"{UNITS_DIR}/mongod@.service",)}
    assert plan.hosts["db1"].needs_reload
    assert set(plan.hosts["db1"].restart) == {f"mongod@{port}.service" for port in (27017, 27018, 27019)}
    shown = "".join(differences(SPECS, world.observe(), plan))
    assert f"--- a/db1{path}\n+++ /dev/null\n" in shown
    assert "-LimitNOFILE=100\n" in shown
    assert any(path in d.text for d in drift(plan))


@pytest.mark.parametrize("damage", [
    lambda w: w.insides["db1"]["files"].pop(f"{UNITS_DIR}/mongod@.service"),
    lambda w: w.insides["web-server"]["files"][f"{SETTINGS_DIR}/webapp/db1_url"].update(mode=0o644),
    lambda w: w.insides["web-server"]["directories"][f"{SETTINGS_DIR}/webapp"].update(mode=0o755),
    lambda w: w.insides["db2"]["units"]["prodctl-guard.service"].update(enabled="disabled"),
    lambda w: w.instances["db1"]["devices"]["eth0"].update({"ipv4.address": "10.10.10.99"}),
    lambda w: w.instances["web-server"]["devices"][PROXY].update(listen="tcp:0.0.0.0:3001"),
    lambda w: w.instances["db1"]["config"].update({"limits.memory": "1GiB"}),
    lambda w: w.network["config"].update({"ipv4.nat": "false"}),
    lambda w: w.insides["auth-server"]["links"].update({CURRENT_RELEASE: "/elsewhere"}),
    lambda w: w.insides["db1"]["binaries"].clear(),
    lambda w: w.insides["db1"]["accounts"].clear(),
])  # fmt: skip
def test_plan_diff_and_status_are_of_one_opinion(world, damage):
    assert drift(world.plan()) == []
    damage(world)
    plan = world.plan()
    assert plan.changes
    assert len(drift(plan)) == len(plan.changes)
    assert list(differences(SPECS, world.observe(), plan))


def obstacles(world, layout=LAYOUT):
    plan = make_plan(layout, render_hosts(layout, INPUTS), "mark", world.observe())
    return [(p.field, p.code) for p in plan.obstacles]


def test_a_proxy_port_that_is_taken_is_found_before_anything_is_made(world):
    del world.instances["web-server"]["devices"][PROXY]
    world.more = {"ports": {"127.0.0.1:3000": "another program"}}
    assert obstacles(world) == [("web.proxy", "taken")]
    world.more = {"ports": {"10.0.0.7:3001": "another program"}}
    assert obstacles(world) == []


def test_a_port_that_is_our_own_proxys_is_not_taken(world):
    world.more = {"ports": {":::3000": "another program"}}  # how the kernel shows a listener on 0.0.0.0
    assert obstacles(world) == []
    assert obstacles(world, Layout(Deployment(web={"proxy": "10.0.0.5:3000"}))) == []


def test_an_image_or_pool_that_is_not_there_names_its_setting(world):
    world.more = {"image_error": "Failed getting image: not found", "pools": frozenset({"other"})}
    assert obstacles(world) == [("incus.image", "unusable"), ("incus.pool", "missing")]


@pytest.mark.parametrize(
    ("mongod", "found"),
    [
        ({}, [("mongod.source", "missing")]),
        ({"source": "deb [signed-by=/etc/apt/keyrings/mongodb.asc] https://a b c"}, [("mongod.key", "missing")]),
        ({"source": "deb [trusted=yes] https://a b c"}, []),
        ({"package": "mongod-of-ours"}, []),
    ],
)
def test_where_mongod_comes_from_is_checked_before_anything_is_made(mongod, found):
    layout = Layout(Deployment(mongod=mongod))
    specs = render_hosts(layout, Inputs(SECRETS, "k", "0123456789ab"))
    plan = make_plan(layout, specs, "mark", Observed())
    assert [(p.field, p.code) for p in plan.obstacles] == found


def test_a_mongod_that_is_installed_needs_no_source(world):
    specs = render_hosts(LAYOUT, Inputs(SECRETS, "k", "0123456789ab"))
    for name in ("db1", "db2", "db3"):
        world.insides[name]["packages"] = list(specs[name].packages)
    assert make_plan(LAYOUT, specs, "mark", world.observe()).obstacles == ()


def with_db1(**table):
    sets = {name: SetTable(name=table_of(name)) for name in SETS}
    return Layout(Deployment(sets=sets | {"rsA": SetTable(name="db1", **table)}))


def test_limits_and_a_data_volume_are_of_the_container(world):
    layout = with_db1(cpus=2, memory="3GiB", disk="9GiB", data_pool="fast", data_size="90GiB")
    spec = instance_spec(layout, layout.host("db1"), "mark")
    assert (spec["config"]["limits.cpu"], spec["config"]["limits.memory"]) == ("2", "3GiB")
    assert spec["devices"]["root"] == {"type": "disk", "path": "/", "pool": "default", "size": "9GiB"}
    assert spec["devices"]["prodctl-data"]["path"] == "/var/lib/mongod"
    plan = make_plan(layout, render_hosts(layout, INPUTS), "mark", Observed())
    assert [(v.pool, v.name, v.size) for v in plan.incus.volumes] == [("fast", "prodctl-db1-data", "90GiB")]


def rendered_backup(inputs=INPUTS, **backup):
    """The files of the nightly backup, by their names."""
    spec = render_hosts(Layout(Deployment(backup=backup)), inputs)["db3"]
    return {f.path.removeprefix(UNITS_DIR): f.content.decode() for f in spec.files if "backup" in f.path}


def test_nightly_backup_has_a_schedule_a_number_and_a_login_of_its_own():
    files = rendered_backup(keep=14, schedule="Sun 04:30")
    assert files["/prodctl-backup.timer.d/schedule.conf"] == "[Timer]\nOnCalendar=\nOnCalendar=Sun 04:30\n"
    assert "BACKUPS_KEPT=14\n" in files[f"{SETTINGS_DIR}/backup.env"]
    assert f"://backup:{SECRETS.backup}@" in files[f"{SETTINGS_DIR}/backup/db3_url"]
    assert SECRETS.root not in "".join(files.values())
    assert "prodctl-backup.timer" in [unit.name for unit in SPECS["db3"].units]
    assert not [path for path in files if "key" in path]


def test_key_of_the_nightly_backup_is_handed_over_as_passwords_are():
    files = rendered_backup(replace(INPUTS, backup_key=b"k" * 44), keep=1)
    assert files["/prodctl-backup.service.d/key.conf"] == (
        f"[Service]\nLoadCredential=backup_key:{SETTINGS_DIR}/backup/backup_key\n"
        'Environment="KEY_OPTIONS=--key-file %d/backup_key"\n'
    )
    assert files[f"{SETTINGS_DIR}/backup/backup_key"] == "k" * 44


def with_rsc():
    sets = {name: SetTable(name=table_of(name)) for name in (*SETS, "rsC")}
    return Layout(Deployment(sets=sets))


def test_a_third_shard_is_one_more_container_and_every_program_that_asks_shards_gets_its_address(world):
    layout = with_rsc()
    specs = render_hosts(layout, INPUTS)
    assert list(layout.set_members) == ["rsA", "rsB", "rsU", "rsC"]
    plan = make_plan(layout, specs, "mark", world.observe())
    assert [one.host.name for one in plan.incus.instances if one.create] == ["db4"]
    handed_over = {}
    for host, spec in specs.items():
        for file in spec.files:
            if file.path.endswith("/shards.conf"):
                program = file.path.removeprefix(f"{UNITS_DIR}/prodctl-").removesuffix(".service.d/shards.conf")
                secret = f"{SETTINGS_DIR}/{program}/db4_url"
                assert file.content.decode() == f"[Service]\nLoadCredential=db4_url:{secret}\n"
                assert next(f for f in spec.files if f.path == secret).content.decode().endswith("authSource=admin")
                handed_over.setdefault(host, set()).add(program)
    guard = {"guard"}
    assert handed_over == {
        "web-server": {"webapp"},
        "db1": guard,
        "db2": guard,
        "db3": {"guard", "drills", "drill", "backup"},
        "db4": guard,
    }
    restarted = {(c.where, c.what) for c in plan.changes if c.action == "restart"}
    assert ("web-server", "unit prodctl-webapp.service") in restarted
    assert ("db3", "unit prodctl-drills.service") in restarted
    assert not [what for _where, what in restarted if "mongod" in what or "authsvc" in what]


@pytest.mark.parametrize(("proxy", "nat"), [("10.0.0.5:80", "true"), ("0.0.0.0:80", None), ("127.0.0.1:80", None)])
def test_behind_a_proxy_on_one_address_clients_keep_their_own(proxy, nat):
    layout = Layout(Deployment(web={"proxy": proxy}))
    assert instance_spec(layout, layout.web, "mark")["devices"][PROXY].get("nat") == nat


def test_data_never_moves_to_or_from_a_volume_by_an_apply(world):
    layout = with_db1(data_pool="default")
    assert obstacles(world, layout) == [("db1: data_pool", "differs")]
    world.more = {"volumes": frozenset({("default", "prodctl-db1-data")})}  # as an import leaves it
    assert obstacles(world, layout) == []
    world.instances["db1"] |= instance_spec(layout, layout.host("db1"), "mark")
    assert obstacles(world) == [("db1: data_pool", "differs")]


def test_a_limit_of_memory_is_a_drop_in_of_ours():
    layout = Layout(Deployment(mongod={"memory_max": "2G"}))
    spec = render_hosts(layout, INPUTS)["db1"]
    path = f"{UNITS_DIR}/mongod@.service.d/limits.conf"
    assert next(f.content for f in spec.files if f.path == path) == b"[Service]\nMemoryMax=2G\n"
    assert all(path in unit.files for unit in spec.units if unit.name.startswith("mongod@"))


def test_a_unit_names_its_release_so_that_none_is_started_from_two():
    for spec in SPECS.values():
        for file in spec.files:
            if file.path.startswith(f"{UNITS_DIR}/prodctl-") and file.path.endswith(".service"):
                assert b"/opt/prodctl/releases/0123456789ab/bin/" in file.content, file.path
                assert CURRENT_RELEASE.encode() not in file.content


TLS_LAYOUT = Layout(
    Deployment(tls={"enabled": True}, web={"proxy": "192.168.1.5:3000", "trusted_hosts": "shop.example"})
)
LEAVES = {host.name: f"the certificate of {host.name}".encode() for host in TLS_LAYOUT.hosts}
TLS_SPECS = render_hosts(TLS_LAYOUT, replace(INPUTS, ca=b"the authority", leaves=LEAVES))


def tls_file(name, path):
    return next(file for file in TLS_SPECS[name].files if file.path == path)


def test_with_tls_each_container_shows_its_own_certificate_and_holds_no_other_key():
    for name, spec in TLS_SPECS.items():
        held = [file for file in spec.files if file.content in LEAVES.values()]
        assert [(f.content, f.is_secret) for f in held] == [(LEAVES[name], True)]
        assert tls_file(name, "/etc/prodctl/ca.pem").content == b"the authority"
    pem = tls_file("db1", "/etc/mongod/tls.pem")
    assert (pem.mode, pem.owner) == (0o400, "mongodb")
    handed_over = tls_file("web-server", f"{UNITS_DIR}/prodctl-webapp.service.d/tls.conf").content.decode()
    assert "LoadCredential=tls.pem:/etc/prodctl/webapp/tls.pem" in handed_over
    assert tls_file("web-server", "/etc/prodctl/webapp/tls.pem").mode == 0o600


def test_with_tls_every_address_is_encrypted_and_verified():
    config = json.loads(tls_file("db2", f"{MONGOD_DIR}/27018.conf").content)
    assert config["net"]["tls"]["mode"] == "requireTLS"
    assert config["net"]["tls"]["CAFile"] == "/etc/prodctl/ca.pem"
    urls = [f.content.decode() for spec in TLS_SPECS.values() for f in spec.files if f.path.endswith("_url")]
    assert urls
    assert all(url.endswith("&tls=true&tlsCAFile=/etc/prodctl/ca.pem") for url in urls)
    web = tls_file("web-server", f"{SETTINGS_DIR}/webapp.env").content.decode()
    assert "AUTH_SERVER_URL=https://10.10.10.10:5000\n" in web
    assert "PRODCTL_CA_FILE=/etc/prodctl/ca.pem\n" in web
    guard = tls_file("db1", f"{SETTINGS_DIR}/guard.env").content.decode()
    assert "PRODCTL_URL=https://10.10.10.11:3000\n" in guard
    assert {url for spec in TLS_SPECS.values() for url in spec.ready} == {
        "https://10.10.10.11:3000/readyz", "https://10.10.10.10:5000/readyz",
    }  # fmt: skip


def test_a_new_certificate_restarts_services_behind_their_socket_and_no_member():
    units = {unit.name: unit.files for spec in TLS_SPECS.values() for unit in spec.units}
    assert "/etc/prodctl/webapp/tls.pem" in units["prodctl-webapp.service"]
    assert "/etc/prodctl/authsvc/tls.pem" in units["prodctl-authsvc.service"]
    members = [files for name, files in units.items() if name.startswith("mongod@")]
    assert members
    assert not [path for files in members for path in files if path.endswith(".pem")]


def test_a_certificate_is_for_each_name_that_its_container_is_reached_at():
    names = TLS_LAYOUT.certificate_names(TLS_LAYOUT.web)
    assert names == ["10.10.10.11", "web-server", "127.0.0.1", "localhost", "192.168.1.5", "shop.example"]
    assert LAYOUT.certificate_names(LAYOUT.web) == names[:4]


def test_without_tls_no_container_hears_of_it():
    files = [file for spec in SPECS.values() for file in spec.files]
    assert not [f.path for f in files if b"tls" in f.content.lower() or b"https" in f.content or "pem" in f.path]
