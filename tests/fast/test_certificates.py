"""Certificates: what the local authority makes, when it renews, and which given files are refused."""

import json
import shutil
import ssl
import stat
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from dotenv import dotenv_values
from pymongo.uri_parser import parse_uri

from prodcore.deploy.config import Deployment
from prodcore.deploy.layout import Layout
from prodcore.deploy.system import OperatorSide
from prodcore.doctor.system import judge_certificate
from prodcore.errors import ConfigError
from prodcore.installation.certificates import Authority, check_leaf, ensure_leaf, read_leaf
from prodcore.installation.secret import ensure_secrets
from prodcore.local.plan import LocalPlan, services_for
from prodcore.local.ports import LocalPorts
from prodcore.local.render import render_env_files, render_member
from prodcore.local.state import LocalState, load_state, save_state
from prodcore.mongo.client.replica_set import SetAddress
from prodcore.replicaset.diagnostic import Severity
from prodcore.settings import Settings
from prodcore.support.http import tls_context
from prodcore.support.secure_files import make_private_directory
from prodcore.web.serve import Server, bind

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = ["127.0.0.1", "localhost", "10.10.10.11", "shop.example.org"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), NOW)


@pytest.fixture
def leaf(authority, tmp_path):
    path = tmp_path / "server.pem"
    authority.renew(path, NAMES, NOW)
    return path


def shows_itself(server_pem, ca_file, name):
    """A handshake in memory: whether a client that trusts the authority takes the certificate for that name."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(server_pem)
    client = ssl.create_default_context(cafile=ca_file)
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # as newer Pythons do
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server, server_hostname=name), server.wrap_bio(to_server, to_client, True)]
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[0].version()


def test_a_leaf_is_valid_for_each_of_its_names_and_for_no_other(authority, tmp_path):
    now = datetime.now(UTC)  # as the library that verifies it sees the time
    today, path = Authority(tmp_path, now), tmp_path / "server.pem"
    today.renew(path, NAMES, now)
    assert {shows_itself(path, today.ca_file, name) for name in NAMES} == {"TLSv1.3"}
    with pytest.raises(ssl.SSLCertVerificationError, match=r"mismatch|not valid for"):
        shows_itself(path, today.ca_file, "10.10.10.12")
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        shows_itself(path, authority.ca_file, NAMES[0])


def test_keys_are_for_their_owner_alone_and_the_authority_is_made_once(authority, leaf):
    directory = authority.ca_file.parent
    for path in (directory / "ca-key.pem", authority.ca_file, leaf):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = authority.ca_file.read_bytes()
    assert Authority(directory, NOW + timedelta(days=1)).ca_file.read_bytes() == before


@pytest.mark.parametrize(("days", "is_renewed"), [(0, False), (59, False), (60, True), (91, True)])
def test_a_leaf_is_renewed_when_a_third_of_its_life_is_left(authority, leaf, days, is_renewed):
    before = read_leaf(leaf)
    assert before.ends - NOW == timedelta(days=90)
    assert authority.renew(leaf, NAMES, NOW + timedelta(days=days)) is is_renewed
    assert (read_leaf(leaf).serial_number != before.serial_number) is is_renewed


def test_a_leaf_is_renewed_for_another_name_another_authority_and_when_damaged(authority, leaf, tmp_path):
    assert authority.renew(leaf, [*NAMES, "10.10.10.99"], NOW)
    assert not authority.renew(leaf, NAMES, NOW)
    (tmp_path / "other").mkdir()
    assert Authority(tmp_path / "other", NOW).renew(leaf, NAMES, NOW)
    leaf.write_text("half of it")
    assert authority.renew(leaf, NAMES, NOW)


def test_no_leaf_outlives_its_authority(authority, tmp_path):
    late = NOW + timedelta(days=3649)
    authority.renew(tmp_path / "late.pem", NAMES, late)
    assert read_leaf(tmp_path / "late.pem").ends == NOW + timedelta(days=3650)


def test_a_damaged_authority_is_said_and_never_replaced(tmp_path):
    Authority(tmp_path, NOW)
    (tmp_path / "ca-key.pem").write_text("lost")
    with pytest.raises(ConfigError, match=r"ca-key.pem and ca.pem are not a certificate authority"):
        Authority(tmp_path, NOW)


def test_given_files_are_left_as_they_are(authority, leaf, tmp_path):
    shutil.copy(authority.ca_file, tmp_path / "ca.pem")
    before = leaf.read_bytes()
    ensure_leaf(leaf, NAMES, NOW + timedelta(days=80))
    assert leaf.read_bytes() == before
    assert not (tmp_path / "ca-key.pem").exists()
    with pytest.raises(ConfigError, match="expired on 2026-05-30"):
        ensure_leaf(leaf, NAMES, NOW + timedelta(days=91))


def key_of(leaf):
    return leaf.read_text().partition("-----BEGIN CERT")[0]


def certificate_of(leaf):
    return leaf.read_text().removeprefix(key_of(leaf))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda leaf, other: leaf.write_text(key_of(leaf)), "holds no certificate in PEM form"),
        (lambda leaf, other: leaf.write_text(certificate_of(leaf)), "holds no private key in PEM form"),
        (
            lambda leaf, other: leaf.write_text(key_of(other) + certificate_of(leaf)),
            "the private key is not that of the certificate",
        ),
        (lambda leaf, other: leaf.write_text(other.read_text()), "was not issued by an authority of"),
        (lambda leaf, other: leaf.unlink(), "cannot be read: no such file or directory"),
    ],
)
def test_given_files_that_do_not_fit_are_refused_with_a_sentence(authority, leaf, tmp_path, change, sentence):
    (tmp_path / "other").mkdir()
    other = tmp_path / "other.pem"
    Authority(tmp_path / "other", NOW).renew(other, NAMES, NOW)
    check_leaf(leaf, authority.ca_file, NAMES, NOW)
    change(leaf, other)
    with pytest.raises(ConfigError, match=sentence):
        check_leaf(leaf, authority.ca_file, NAMES, NOW)


@pytest.mark.parametrize(
    ("names", "days", "sentence"),
    [
        ([*NAMES, "10.10.10.12"], 0, r"is not for 10\.10\.10\.12"),
        (NAMES, 90, "expired on 2026-05-30"),
        (NAMES, -1, "is not valid before 2026-03-01"),
    ],
)
def test_a_given_certificate_must_be_for_the_addresses_and_for_today(authority, leaf, names, days, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_leaf(leaf, authority.ca_file, names, NOW + timedelta(days=days))


@pytest.mark.parametrize("content", [None, "nothing", "key"])
def test_a_file_that_no_service_can_show_is_refused_before_it_serves(leaf, tmp_path, content):
    path = tmp_path / "bad.pem"
    if content:
        path.write_text(key_of(leaf) if content == "key" else content)
    listeners = bind("127.0.0.1", 0)
    try:
        with pytest.raises(ConfigError, match=r"PRODCTL_TLS_FILE: .* cannot be used"):
            Server("authsvc", Settings(tls_file=path), listeners, kept=False)
        Server("authsvc", Settings(tls_file=leaf), listeners, kept=False)
    finally:
        for listener in listeners:
            listener.close()


def test_a_file_of_authorities_without_any_is_refused(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    for path, why in ((tmp_path / "ca.pem", "it holds no certificate"), (tmp_path / "none", "no such file")):
        with pytest.raises(ConfigError, match=f"PRODCTL_CA_FILE: {path} cannot be used: {why}"):
            tls_context(path)


@pytest.mark.parametrize("name", ["none", "ca.pem"])
def test_a_member_address_whose_authorities_cannot_be_read_is_refused(tmp_path, name):
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match=r"tlsCAFile of a MongoDB address.* cannot be"):
        SetAddress(f"mongodb://127.0.0.1:1/db?replicaSet=rsA&tls=true&tlsCAFile={tmp_path / name}")


@pytest.fixture
def described(tmp_path):
    """A function that makes the operator's side of a deployment with this table ``[tls]``."""
    (tmp_path / "wheelhouse").mkdir()
    (tmp_path / "wheelhouse" / "requirements.txt").write_text("")

    def make(**tls):
        deployment = Deployment(tls={"enabled": True, **tls}, release={"wheelhouse": tmp_path / "wheelhouse"})
        return OperatorSide(Layout(deployment), tmp_path / "deploy")

    return make


def test_an_apply_makes_a_certificate_for_each_container_once(described, tmp_path):
    operator = described()
    before = operator.inputs()
    assert set(before.leaves.values()) == {b"made by apply\n"}
    assert not (tmp_path / "deploy").exists()
    operator.begin()
    made = operator.inputs()
    assert set(made.leaves) == {"auth-server", "web-server", "db1", "db2", "db3"}
    assert made.ca == (tmp_path / "deploy" / "ca.pem").read_bytes()
    for path in (tmp_path / "deploy").iterdir():
        assert not path.stat().st_mode & 0o077
    check_leaf(tmp_path / "deploy" / "db1.pem", operator.ca_file, ["10.10.10.12", "127.0.0.1"], datetime.now(UTC))
    operator.begin()
    assert operator.inputs() == made
    shown = operator.fingerprints(["10.10.10.12:27017", "10.10.10.12:27018"])
    assert set(shown.values()) == {read_leaf(tmp_path / "deploy" / "db1.pem").fingerprint}


def test_a_certificate_that_is_due_is_a_difference_until_the_next_apply(described, tmp_path):
    operator = described()
    operator.begin()
    db1 = tmp_path / "deploy" / "db1.pem"
    long_ago = datetime.now(UTC) - timedelta(days=61)
    names = ["10.10.10.12", "db1", "127.0.0.1", "localhost"]
    db1.write_bytes(Authority(tmp_path / "deploy", long_ago).issue(names, long_ago))
    assert operator.inputs().leaves["db1"] == b"made by apply\n"
    operator.begin()
    assert operator.inputs().leaves["db1"] == db1.read_bytes()
    assert read_leaf(db1).ends > datetime.now(UTC) + timedelta(days=80)


def test_given_certificates_of_a_deployment_must_fit_each_container(described, tmp_path):
    operator = described()
    operator.begin()
    given = tmp_path / "given"
    given.mkdir()
    for path in (tmp_path / "deploy").glob("*.pem"):
        shutil.copy(path, given)
    other = described(directory=given)
    other.begin()
    assert other.inputs().leaves["db2"] == (given / "db2.pem").read_bytes()
    shutil.copy(given / "db1.pem", given / "db2.pem")
    with pytest.raises(ConfigError, match=r"db2.pem: the certificate is not for 10\.10\.10\.13, db2"):
        other.begin()


def plan_of(directory, *, tls):
    plan = LocalPlan(directory / "ñ & 100%", LocalPorts(), tls=tls)
    make_private_directory(plan.directory)
    services = services_for(plan.ports, workers=1, threads=8, ca_file=plan.ca_file)
    return LocalPlan(plan.directory, plan.ports, services, tls=tls)


def test_with_tls_members_take_nothing_else_and_every_address_names_the_authority(authority, tmp_path):
    plan = plan_of(tmp_path, tls=True)
    make_private_directory(plan.certificates)
    shutil.copy(authority.ca_file, plan.ca_file)
    net = json.loads(render_member(plan, plan.program("rsA-1")))["net"]["tls"]
    assert net["mode"] == "requireTLS"
    assert (net["certificateKeyFile"], net["CAFile"]) == (str(plan.tls_file), str(plan.ca_file))
    assert {service.url for service in plan.services} == {"https://127.0.0.1:3000", "https://127.0.0.1:5000"}
    secrets = ensure_secrets(plan.directory, plan.keyfile)
    envs = {n: dotenv_values(stream=StringIO(text)) for n, text in render_env_files(plan, secrets).items()}
    for values in envs.values():
        for address in (value for name, value in values.items() if name.startswith("DB")):
            assert parse_uri(address)["options"]["tlsCAFile"] == str(plan.ca_file)
            assert SetAddress(address).login["tls"] is True
    assert envs["web"]["AUTH_SERVER_URL"] == "https://127.0.0.1:5000"
    assert envs["operator"]["PRODCTL_URL"] == "https://127.0.0.1:3000"
    assert envs["web"]["PRODCTL_TLS_FILE"] == envs["auth"]["PRODCTL_TLS_FILE"] == str(plan.tls_file)
    assert envs["web"]["PRODCTL_CA_FILE"] == envs["operator"]["PRODCTL_CA_FILE"] == str(plan.ca_file)


def test_without_tls_no_file_speaks_of_it(tmp_path):
    plan = plan_of(tmp_path, tls=False)
    secrets = ensure_secrets(plan.directory, plan.keyfile)
    save_state(plan.directory, LocalState(plan.ports.as_dict()))
    texts = [*render_env_files(plan, secrets).values(), *(render_member(plan, m) for m in plan.members)]
    texts.append((plan.directory / "cluster.json").read_text())
    texts = [text.replace(str(plan.directory), "") for text in texts]
    assert not [text for text in texts if "tls" in text.lower() or "https" in text or "CA_FILE" in text]
    save_state(plan.directory, LocalState(plan.ports.as_dict(), tls=True))
    assert load_state(plan.directory).tls


@pytest.mark.parametrize(("days", "severity"), [(30, Severity.OK), (20, Severity.PROBLEM), (-1, Severity.PROBLEM)])
def test_doctor_says_when_a_certificate_is_about_to_end(days, severity):
    assert judge_certificate("webapp", NOW + timedelta(days=days), NOW).severity is severity
