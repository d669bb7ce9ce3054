"""What never reaches the command line of Incus."""

import pytest

from prodcore.errors import InvalidInput
from prodcore.incus import Incus, check_name, check_path


@pytest.mark.parametrize("name", ["", "-f", "--project", "db1/etc", "other:db1", "Db1", "db 1", "db1\n", "año", "a.b"])
def test_what_is_no_name_is_refused_with_its_field(name):
    with pytest.raises(InvalidInput) as refused:
        check_name("host", name)
    assert [p.field for p in refused.value.problems] == ["host"]


@pytest.mark.parametrize("path", ["", "etc/passwd", "/etc/", "/", "/opt/../etc/passwd", "/a\0b"])
def test_what_is_no_file_is_refused(path):
    with pytest.raises(InvalidInput):
        check_path(path)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Incus(remote="https://x"),
        lambda: Incus(project="-x"),
        lambda: Incus().execute("--help", ["true"]),
        lambda: Incus().execute("db1", []),
        lambda: Incus().push("db1:", "/etc/x", b""),
        lambda: Incus().push("db1", "etc/x", b""),
        lambda: Incus().pull("db1/etc", "/x"),
    ],
)
def test_nothing_is_asked_of_incus_with_such_a_name(call, monkeypatch):
    monkeypatch.setenv("PATH", "")  # were incus started, it would be missed
    with pytest.raises(InvalidInput):
        call()


def test_names_and_paths_pass():
    check_name("host", "web-server")
    check_path("/etc/prodctl/webapp.env")
    assert Incus(remote="far").at("db1") == "far:db1"
    assert Incus().at("db1") == "db1"
