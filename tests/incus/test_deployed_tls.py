"""A deployment that begins to encrypt its connections, renews its certificates, and ends it."""

from datetime import UTC, datetime, timedelta

import pytest

from prodcore.installation.certificates import Authority, read_leaf

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1_500)]

UNITS = [f"mongod@{port}.service" for port in (27017, 27018, 27019)]


@pytest.fixture
def encrypted(deployed):
    """The deployment with TLS, which it has no longer afterwards."""
    with deployed.described(deployed.file.read_text().replace("\nenabled = false", "\nenabled = true", 1)):
        yield deployed


def processes(deployed, host):
    shown = deployed.bed.run("incus", "exec", host, "--", "systemctl", "show", "--property=MainPID", *UNITS)
    return shown.stdout.split()


def test_a_running_deployment_encrypts_renews_and_stops_encrypting(encrypted):
    assert encrypted.plan() == set()
    assert encrypted.findings() == []
    status = encrypted.prodctl("cluster", "status", "-o", "json", environment=encrypted.operator)
    assert status.status == 0, status.err
    assert {service["url"].partition(":")[0] for service in status.json["services"]} == {"https"}
    certificates = encrypted.state / "deploy" / "prodctl"
    asked = ["curl", "--silent", "--fail", "--cacert", certificates / "ca.pem"]
    assert encrypted.bed.run(*asked, "https://10.10.10.11:3000/healthz").returncode == 0
    assert encrypted.bed.run(*asked, "http://10.10.10.11:3000/healthz", check=False).returncode != 0

    long_ago = datetime.now(UTC) - timedelta(days=61)
    pem = certificates / "db1.pem"
    due = Authority(certificates, long_ago).issue(sorted(read_leaf(pem).names), long_ago)
    pem.write_bytes(due)
    running = processes(encrypted, "db1")
    assert ("db1", "write", "file /etc/mongod/tls.pem", "its content differs") in encrypted.plan()
    encrypted.apply()
    assert pem.read_bytes() != due
    assert processes(encrypted, "db1") == running
    assert encrypted.plan() == set()
