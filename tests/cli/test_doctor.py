"""``prodctl doctor`` and ``prodctl expose check`` against the running system, from outside as people run them."""

import os
import socket
import subprocess
from contextlib import contextmanager

import pytest

from prodcore.local import find_free_ports, services_for
from tests.support.cli import Cli
from tests.support.site import start_site
from tests.support.tls_hop import ADDRESS, tls_hop
from tests.support.waiting import wait_until

SECONDS = 60


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A system where ``local up`` would put it, with its first admin; the doctor sees it as this user's own."""
    state_dir = tmp_path_factory.mktemp("here")
    site = start_site(state_dir / "local")
    site.make_admin()
    yield site
    site.cluster.destroy()


@pytest.fixture
def cli(here):
    return Cli(here.cluster.plan.directory.parent)


def states(answer):
    return {(item["group"], item["subject"]): item["severity"] for item in answer.json["items"]}


def test_a_sound_system_has_nothing_to_mend(here, cli):
    answer = cli("doctor", "-o", "json", PRODCTL_TOKEN=here.token())
    assert (answer.status, answer.err) == (0, ""), answer.out
    seen = states(answer)
    assert answer.json["problems"] == 0
    assert seen["services", "webapp"] == seen["services", "authsvc"] == "ok"
    assert seen["listening", "loopback"] == "ok"
    assert seen["layout", "rsA, rsB, rsU"] == "note"
    assert seen["keys and tokens", "signing key"] == seen["keys and tokens", "first admin"] == "ok"
    clocks = next(i for i in answer.json["items"] if i["group"] == "clocks")
    assert clocks["text"].startswith("11 asked")
    assert all(i["fix"] for i in answer.json["items"] if i["severity"] in ("problem", "warning"))


def test_the_page_for_people_has_a_heading_a_group_and_holds_no_secret(here, cli):
    answer = cli("doctor")
    assert answer.status == 0, answer.out
    headings = [line for line in answer.out.splitlines()[:-1] if line and line[0].isupper()]
    assert headings == ["Versions", "Files", "Listening", "Services", "Members", "Layout", "Clocks", "Disk",
                        "Keys and tokens"]  # fmt: skip
    assert answer.out.splitlines()[-1].startswith("Problems: 0, ")
    assert "only an admin sees them" in answer.out
    secrets = (here.cluster.plan.directory / "secrets.json").read_text()
    assert not [word for word in secrets.split('"')[3::4] if word in answer.out]


def test_a_keyfile_that_others_may_read_is_a_problem_with_its_fix(here, cli):
    keyfile = here.cluster.plan.keyfile
    keyfile.chmod(0o640)
    try:
        answer = cli("doctor", "-o", "json")
    finally:
        keyfile.chmod(0o600)
    assert answer.status == 6
    found = [i for i in answer.json["items"] if i["severity"] == "problem"]
    assert [(i["subject"], i["fix"]) for i in found] == [(str(keyfile), f"chmod 600 {keyfile}")]


def test_an_env_file_that_others_may_read_is_told_and_not_an_end_of_the_page(here, cli):
    env = here.cluster.plan.env_file("operator")
    env.chmod(0o604)
    try:
        answer = cli("doctor", "-o", "json")
    finally:
        env.chmod(0o600)
    assert answer.status == 6
    assert states(answer)["files", str(env)] == "problem"
    assert states(answer)["settings", "settings"] == "problem"


def test_a_member_that_is_down_and_its_set_are_looked_at_all_the_same(here, cli):
    here.cluster.members.stop(here.cluster.plan.members_of("rsA")[2].address)
    try:
        answer = cli("doctor", "-o", "json")
    finally:
        here.cluster.start("rsA-3")
    clocks = next(i for i in answer.json["items"] if i["group"] == "clocks")
    assert clocks["text"].startswith("10 asked")


def test_without_any_system_it_looks_at_the_machine(tmp_path):
    answer = Cli(tmp_path)("doctor", "-o", "json")
    assert answer.status == 0
    assert states(answer)["members", "system"] == "skipped"
    assert states(answer)["versions", "packages"] == "ok"


@contextmanager
def web(here, directory, **settings):
    """One more webapp of the same system, with other settings; its port."""
    port = find_free_ports().web
    service = next(s for s in services_for(find_free_ports(), workers=1, threads=4) if s.name == "webapp")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PRODCTL_", "DB"))} | {
        "PRODCTL_ENV_FILE": str(here.cluster.plan.env_file("web")),
        "PRODCTL_TRUST_FILE": str(directory / "trust.json"),
        "PORT": str(port),
        **settings,
    }
    with subprocess.Popen([here.cluster.plan.python, *service.arguments], env=environment) as running:
        try:
            wait_until(lambda: _listens(port), "webapp listens", seconds=SECONDS)
            yield port
        finally:
            running.terminate()


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def walk(cli, port, url="", certificate="", **environment):
    answer = cli(
        "expose", "check", "-o", "json", *(["--url", url] if url else []),
        PRODCTL_URL=f"http://127.0.0.1:{port}", SSL_CERT_FILE=str(certificate), **environment,
    )  # fmt: skip
    hops = {item["name"]: item for item in answer.json["items"]}
    return answer, hops, [name for name, hop in hops.items() if hop["outcome"] == "broken"]


def test_without_a_public_address_only_the_inner_hops_are_walked(here, cli):
    answer, hops, broken = walk(cli, here.cluster.plan.ports.web)
    assert (answer.status, answer.err, broken) == (0, "", [])
    assert hops["this machine"]["outcome"] == "ok"
    assert {hops[name]["outcome"] for name in ("tunnel", "first admin", "https only", "closed ports")} == {"skipped"}


def test_a_port_where_nobody_listens_is_the_first_broken_hop(cli):
    answer, hops, broken = walk(cli, find_free_ports().web, "https://shop.example")
    assert (answer.status, broken) == (6, ["this machine"])
    assert "scripts/virtualbox-forward" in hops["this machine"]["fix"]
    assert hops["tunnel"]["outcome"] == "not tried"
    assert answer.err.startswith("Broken at this machine: ")


def test_the_whole_way_holds_with_one_trusted_hop(here, cli, tmp_path):
    settings = {"PRODCTL_TRUSTED_PROXIES": "1", "PRODCTL_TRUSTED_HOSTS": ADDRESS}
    with web(here, tmp_path, **settings) as port, tls_hop(tmp_path, port) as (url, certificate):
        answer, hops, broken = walk(cli, port, url, certificate)
        assert (answer.status, broken) == (0, []), hops
        assert {hop["outcome"] for name, hop in hops.items() if hop["where"]} == {"ok"}
        with socket.create_server((ADDRESS, 27017)):
            answer, hops, broken = walk(cli, port, url, certificate)
        assert (answer.status, broken) == (6, ["closed ports"])
        assert hops["closed ports"]["text"] == f"{ADDRESS} takes connections on 27017 (a mongod)"


def test_a_webapp_that_trusts_no_hop_is_found_behind_a_working_tunnel(here, cli, tmp_path):
    port = here.cluster.plan.ports.web
    with tls_hop(tmp_path, port) as (url, certificate):
        answer, hops, broken = walk(cli, port, url, certificate)
    assert (answer.status, broken) == (6, ["https only"])
    assert hops["https only"]["fix"].startswith("trusted_proxies = 1")


def test_another_system_behind_the_public_address_is_not_taken_for_ours(here, cli, tmp_path):
    with web(here, tmp_path, PRODCTL_SESSION_SECRET="x" * 32) as other, tls_hop(tmp_path, other) as (url, certificate):
        answer, hops, broken = walk(cli, here.cluster.plan.ports.web, url, certificate)
    assert (answer.status, broken) == (6, ["tunnel"])
    assert hops["tunnel"]["text"].startswith("another system answers: instance ")


def test_what_the_tunnel_lacks_is_named(here, cli, tmp_path):
    port = here.cluster.plan.ports.web
    with tls_hop(tmp_path, port) as (url, certificate):
        assert "its certificate is not valid" in walk(cli, port, url)[1]["tunnel"]["text"]
        assert walk(cli, port, url.replace("https", "http"))[1]["tunnel"]["text"].startswith("a public address must be")
    assert "nothing listens there" in walk(cli, port, url, certificate)[1]["tunnel"]["text"]
    with tls_hop(tmp_path, port, days=-1) as (url, certificate):
        assert "expired" in walk(cli, port, url, certificate)[1]["tunnel"]["text"]
    with tls_hop(tmp_path, find_free_ports().web) as (url, certificate):
        assert walk(cli, port, url, certificate)[1]["tunnel"]["text"] == "something answers 502, and it is not webapp"


def test_what_is_no_address_is_refused(cli):
    answer = cli("expose", "check", "--url", "--config=x")
    assert (answer.status, answer.out) == (2, "")
    assert "is not an address" in answer.err
