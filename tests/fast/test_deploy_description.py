"""What deploy.toml may say, and how its mistakes are told."""

import pytest

from prodcore.deploy.config import Deployment, default_text, load_deployment
from prodcore.deploy.layout import Layout
from prodcore.deploy.system import DeployedSystem
from prodcore.errors import ConfigError, Conflict, MemberNotFound, ShardNotFound
from prodcore.installation.sets import SETS


@pytest.fixture
def load(tmp_path):
    def write_and_load(text):
        path = tmp_path / "deploy.toml"
        path.write_text(text)
        return load_deployment(path)

    return write_and_load


def problems_of(call):
    with pytest.raises(ConfigError) as refused:
        call()
    return [(p.field, p.message) for p in refused.value.problems]


def test_the_commented_file_says_the_defaults(load, tmp_path):
    given = load(default_text())
    assert given == load("")
    assert given.release.wheelhouse == tmp_path / "dist/wheelhouse"
    assert given.model_copy(update={"release": Deployment().release}) == Deployment()


def test_the_defaults_are_the_names_addresses_and_ports_of_the_mission(load):
    layout = Layout(load(""))
    assert {h.name: h.address for h in layout.hosts} == {
        "auth-server": "10.10.10.10",
        "web-server": "10.10.10.11",
        "db1": "10.10.10.12",
        "db2": "10.10.10.13",
        "db3": "10.10.10.14",
    }
    assert layout.set_members["rsA"] == ["10.10.10.12:27017", "10.10.10.12:27018", "10.10.10.12:27019"]
    assert (layout.deployment.web.port, layout.deployment.auth.port) == (3000, 5000)
    assert (layout.deployment.web.proxy, layout.deployment.auth.proxy) == ("0.0.0.0:3000", "")
    assert layout.election_timeout_ms == 1_000


def test_spread_puts_every_member_into_a_container_of_its_own(load):
    layout = Layout(load('layout = "spread"\n[db2]\naddresses = ["10.10.10.7", "10.10.10.8", "10.10.10.9"]'))
    assert [h.name for h in layout.db_hosts] == [f"db{n}-{m}" for n in (1, 2, 3) for m in (1, 2, 3)]
    assert layout.set_members["rsB"] == ["10.10.10.7:27017", "10.10.10.8:27017", "10.10.10.9:27017"]
    assert all(len(h.members) == 1 for h in layout.db_hosts)
    assert layout.election_timeout_ms == 10_000


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("[db4]", {"db4": "10.10.10.15"}),
        ('[db4]\nname = "fruit"\n[db6]\naddresses = ["10.10.10.99"]', {"fruit": "10.10.10.15", "db6": "10.10.10.99"}),
        ('layout = "spread"\n[db4]', {f"db4-{n}": f"10.10.10.{50 + n}" for n in (1, 2, 3)}),
    ],
)
def test_a_further_shard_is_one_more_table(load, text, hosts):
    layout = Layout(load(text))
    added = [h for h in layout.db_hosts if h.members[0].replica_set not in SETS]
    assert {h.name: h.address for h in added} == hosts
    assert layout.users_host.name.startswith("db3")
    names = [name for name in layout.deployment.sets if name not in SETS]
    assert names == (["rsC", "rsE"] if "db6" in text else ["rsC"])


def test_a_mistake_in_a_further_shard_is_told_with_its_place(load):
    assert problems_of(lambda: load("[db4]\nport = 0\n[db27]")) == [
        ("deploy.toml:2: db4.port", "input should be greater than or equal to 1"),
        ("deploy.toml:3: db27", "there is no such setting"),
    ]


@pytest.mark.parametrize(("name", "error"), [("rsC", ShardNotFound), ("rsA", Conflict), ("rsU", Conflict)])
def test_only_a_further_shard_can_be_removed(load, tmp_path, name, error):
    system = DeployedSystem(load(""), tmp_path, tmp_path / "deploy.toml")
    with pytest.raises(error):
        system.check_removable(name)


def test_without_a_shard_everything_else_is_as_described(load, tmp_path):
    system = DeployedSystem(load("[db4]"), tmp_path, tmp_path / "deploy.toml").without_shard("rsC")
    assert (system.deployment, system.directory) == (load(""), tmp_path / "deploy" / "prodctl")


def test_a_member_is_found_by_its_address_and_by_its_name(load):
    layout = Layout(load(""))
    member = layout.member("10.10.10.13:27018")
    assert (member.name, member.host, member.unit) == ("rsB-2", "db2", "mongod@27018.service")
    assert layout.member("rsB-2") == member
    with pytest.raises(MemberNotFound):
        layout.member("10.10.10.13:27020")


def test_every_mistake_is_told_at_once_with_its_place(load):
    text = 'nme = "x"\n\n[web]\nadress = "10.10.10.11"\nport = 99999\n\n[db1]\naddresses = ["1.2.3"]\n[nowhere]\n'
    assert problems_of(lambda: load(text)) == [
        ("deploy.toml:5: web.port", "input should be less than or equal to 65535"),
        ("deploy.toml:4: web.adress", "there is no such setting"),
        ("deploy.toml:8: db1.addresses.0", "input is not a valid IPv4 address"),
        ("deploy.toml:1: nme", "there is no such setting"),
        ("deploy.toml:9: nowhere", "there is no such setting"),
    ]


@pytest.mark.parametrize("name", ["", "-x", "Db1", "a b", "x" * 63, "db1\\n", "other:db1", "ñ"])
def test_names_that_incus_does_not_take_are_refused(load, name):
    assert [field for field, _ in problems_of(lambda: load(f'[db1]\nname = "{name}"'))] == ["deploy.toml:2: db1.name"]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('[web]\naddress = "10.10.10.12"', "10.10.10.12"),
        ('[web]\naddress = "10.10.10.1"', "web-server"),
        ('[web]\naddress = "192.168.1.1"', "web-server"),
        ('[web]\nname = "db1"', "db1"),
        ('[db3]\naddresses = ["10.10.10.20", "10.10.10.21"]', "db3.addresses"),
        ('layout = "spread"\n[db3]\ntargets = ["one"]', "db3.targets"),
    ],
)
def test_containers_that_cannot_be_together_are_refused(load, text, field):
    assert [f for f, _ in problems_of(lambda: Layout(load(text)))] == [field]


def test_a_missing_or_broken_file_is_said_in_a_sentence(tmp_path, load):
    with pytest.raises(ConfigError, match="there is no"):
        load_deployment(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load("[web")
