"""``prodctl login``, ``account``, ``user``, ``token``, ``key`` and ``audit`` against the whole system."""

import json
import stat
from datetime import UTC, datetime
from uuid import uuid4

import pyotp
import pytest

from tests.support.cli import Cli
from tests.support.site import ADMIN, PASSWORD
from tests.support.waiting import wait_until

NEW_PASSWORD = "gusano verde trepador 99"


def lines(*texts):
    return "".join(f"{text}\n" for text in texts).encode()


@pytest.fixture
def cli(site, tmp_path):
    """prodctl on a machine where nobody is logged in yet."""
    return Cli(tmp_path / "state", {"PRODCTL_URL": site.url})


@pytest.fixture
def admin(site, tmp_path):
    """prodctl with the admin's token."""
    return Cli(tmp_path / "admin", {"PRODCTL_URL": site.url, "PRODCTL_TOKEN": site.token()})


@pytest.fixture
def name():
    return f"p{uuid4().hex[:10]}"


@pytest.fixture
def person(admin, cli, name):
    """An editor who is logged in."""
    assert admin("user", "add", name, "--role", "editor", "--password-stdin", stdin=lines(PASSWORD)).status == 0
    assert cli("login", "-u", name, "--password-stdin", stdin=lines(PASSWORD)).status == 0
    return cli


def test_log_in_look_and_log_out(cli, site):
    before = cli("whoami")
    assert (before.status, before.out) == (4, "")
    assert before.err == f"Error: you are not logged in at {site.url}\nHint:  prodctl login\n"

    entered = cli("login", "-u", ADMIN, "--password-stdin", stdin=lines(PASSWORD))
    assert (entered.status, entered.out) == (0, "")
    assert entered.err == f"Logged in at {site.url} as {ADMIN} (admin).\n"
    stored = cli.state_dir / "credentials.json"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert PASSWORD not in stored.read_text()

    who = cli("whoami", "-o", "json").json
    assert (who["username"], who["role"], who["kind"]) == (ADMIN, "admin", "session")
    days = (datetime.fromisoformat(who["session_expires_at"]) - datetime.now(UTC)).days
    assert days in (29, 30)  # until one has to log in again
    assert who["access_token_expires_at"] < who["session_expires_at"]
    assert cli("whoami", "-o", "json", PRODCTL_TOKEN=site.token()).json["session_expires_at"]

    token = json.loads(stored.read_text())[site.url]["access_token"]
    left = cli("logout")
    assert (left.status, left.err) == (0, f"Logged out {ADMIN} at {site.url}.\n")
    assert cli("whoami").status == 4
    wait_until(lambda: cli("whoami", PRODCTL_TOKEN=token).status == 4, "the token is refused", seconds=30)
    assert cli("logout").err == f"You were not logged in at {site.url}.\n"


def test_a_wrong_password_is_exit_status_4(cli):
    answer = cli("login", "-u", ADMIN, "--password-stdin", stdin=lines("wrong"))
    assert (answer.status, answer.out) == (4, "")
    assert answer.err == "Error: the user name or the password is wrong\n"


def test_without_a_terminal_nothing_is_asked(cli):
    for arguments in (("login",), ("login", "-u", ADMIN), ("user", "add", "x"), ("account", "password")):
        answer = cli(*arguments)
        assert (answer.status, answer.out) == (2, ""), arguments
        assert "input is not interactive" in answer.err


def test_on_a_terminal_the_password_is_asked_for_and_not_shown(cli):
    answer = cli.on_terminal("login", answers={"User name": f"{ADMIN}\n", "Password": f"{PASSWORD}\n"})
    assert answer.status == 0
    assert "Logged in" in answer.out
    assert PASSWORD not in answer.out


def test_an_expired_access_token_is_refreshed_without_a_word(person, site):
    stored = person.state_dir / "credentials.json"
    logins = json.loads(stored.read_text())
    logins[site.url]["access_token"] = "x.y.z"
    stored.write_text(json.dumps(logins))
    answer = person("whoami", "-o", "json")
    assert (answer.status, answer.err) == (0, "")


def test_a_user_from_add_to_rm(admin, name):
    added = admin("user", "add", name, "--role", "editor", "--password-stdin", stdin=lines(PASSWORD))
    assert (added.status, added.out, added.err) == (0, "", f"Added {name} (editor).\n")
    again = admin("user", "add", name.upper(), "--password-stdin", stdin=lines(PASSWORD))
    assert (again.status, again.out) == (5, "")
    weak = admin("user", "add", name + "x", "--password-stdin", stdin=lines("passwordpassword"))
    assert weak.status == 2
    assert "password: is refused" in weak.err

    assert name in [user["username"] for user in admin("user", "list", "-o", "json").json["items"]]
    assert admin("user", "show", name, "-o", "json").json["role"] == "editor"
    changed = admin("user", "role", name, "operator")
    assert (changed.status, changed.err) == (0, f"{name} is operator now.\n")
    assert admin("user", "disable", name).err == f"{name} is disabled.\n"
    assert admin("user", "enable", name, "-o", "json").json["disabled"] is False
    assert admin("user", "rename", name, name + "2").err == f"{name} is now called {name}2.\n"

    asked = admin("user", "rm", name + "2")
    assert (asked.status, asked.out) == (2, "")
    assert admin("user", "rm", name + "2", "--yes").err == f"Deleted {name}2.\n"
    gone = admin("user", "show", name + "2")
    assert (gone.status, gone.out, gone.err) == (3, "", f"Error: there is no user '{name}2'\n")


def test_the_last_admin_stays(admin):
    for arguments in (("role", ADMIN, "viewer"), ("disable", ADMIN), ("rm", ADMIN, "--yes")):
        answer = admin("user", *arguments)
        assert (answer.status, answer.out) == (5, "")
        assert answer.err == f"Error: {ADMIN} is the only admin who is not disabled\nHint:  Make another one first\n"


def test_who_is_no_admin_manages_nobody(person, name):
    for right, *arguments in (
        ("users:manage", "user", "list"),
        ("users:manage", "token", "list"),
        ("users:manage", "key", "rotate"),
        ("audit:read", "audit", "list"),
    ):
        answer = person(*arguments)
        assert (answer.status, answer.out) == (4, ""), arguments
        assert answer.err == f"Error: this needs the right {right}\nHint:  An admin can give you another role\n"


def test_a_forgotten_password_is_reset_with_a_code(admin, person, name):
    assert admin("user", "reset", name, stdin="").status == 2, "the password is asked for once more"
    made = admin("user", "reset", name, "-o", "json", stdin=lines(PASSWORD))
    code = made.json["code"]
    done = person("account", "reset", name, "--stdin", stdin=lines(code, NEW_PASSWORD))
    assert (done.status, done.err) == (0, "The password is set. Now: prodctl login\n")
    assert person("login", "-u", name, "--password-stdin", stdin=lines(NEW_PASSWORD)).status == 0
    assert person("account", "reset", name, "--stdin", stdin=lines(code, PASSWORD)).status == 4


def test_one_changes_the_own_password(person, name):
    done = person("account", "password", "--stdin", stdin=lines(PASSWORD, NEW_PASSWORD))
    assert (done.status, done.err) == (0, "The password is changed; your other logins have ended.\n")
    assert person("whoami").status == 0
    assert person("login", "-u", name, "--password-stdin", stdin=lines(NEW_PASSWORD)).status == 0


def test_one_sees_and_ends_the_own_logins(person, admin, name, site, tmp_path):
    other = Cli(tmp_path / "other", {"PRODCTL_URL": site.url})
    other("login", "-u", name, "--password-stdin", stdin=lines(PASSWORD))
    listed = person("account", "sessions", "-o", "json").json["items"]
    assert [session["current"] for session in listed].count(True) == 1
    assert len(listed) == 2
    assert person("account", "end-session", "--others").err == "Ended 1 other login.\n"
    wait_until(lambda: other("whoami").status == 4, "the other login has ended", seconds=30)
    assert admin("user", "end-sessions", name).err == f"Ended 1 login of {name}.\n"
    wait_until(lambda: person("whoami").status == 4, "this one too", seconds=30)


def test_on_a_terminal_the_app_scans_the_second_factor(person):
    answer = person.on_terminal(
        "account",
        "second-factor",
        "add",
        answers={"Your password again": f"{PASSWORD}\n", "Code that the app shows": "000000\n"},
    )
    assert "otpauth://totp/" in answer.out
    assert answer.out.count("█") > 100
    assert answer.status == 4, answer.out


def test_a_second_factor_from_add_to_rm(site, person, name):
    token = json.loads((person.state_dir / "credentials.json").read_text())[site.url]["access_token"]
    begun = site.call("POST", "/account/second-factor", token=token, **site.prove(token)).json()
    app = pyotp.TOTP(begun["secret"])
    codes = site.call("PUT", "/account/second-factor", {"code": app.now()}, token=token).json()["recovery_codes"]

    without = person("login", "-u", name, "--password-stdin", stdin=lines(PASSWORD))
    assert (without.status, without.out) == (2, "")
    with_it = person("login", "-u", name, "--password-stdin", "--code-stdin", stdin=lines(PASSWORD, codes[0]))
    assert with_it.status == 0
    removed = person("account", "second-factor", "rm", "--stdin", "--yes", stdin=lines(PASSWORD, codes[1]))
    assert (removed.status, removed.err) == (0, "The second factor is removed.\n")
    assert person("login", "-u", name, "--password-stdin", stdin=lines(PASSWORD)).status == 0


def test_a_service_token_from_create_to_revoke(admin, cli, name):
    scopes = "products:read,drill:run"
    made = admin("token", "create", "--name", name, "--scope", scopes, "--expires", "90d", stdin=lines(PASSWORD))
    assert made.status == 0
    token = made.out.strip()
    assert token.startswith("prodctl_")
    assert "it is not shown again" in made.err

    assert cli("product", "list", PRODCTL_TOKEN=token).status == 0
    refused = cli("product", "add", "Arroz", "--price", "1", PRODCTL_TOKEN=token)
    assert (refused.status, refused.out) == (4, "")

    listed = next(t for t in admin("token", "list", "-o", "json").json["items"] if t["name"] == name)
    assert listed["last_used_at"]
    assert token not in json.dumps(listed)
    assert admin("token", "create", "--name", name, "--scope", scopes, stdin=lines(PASSWORD)).status == 5
    assert admin("token", "create", "--name", name + "x", "--scope", "nonsense").status == 2
    assert admin("token", "create", "--name", name + "x", "--scope", scopes, "--expires", "soon").status == 2
    assert admin("token", "revoke", name, "--yes").err == f"Revoked {name}.\n"
    wait_until(lambda: cli("product", "list", PRODCTL_TOKEN=token).status == 4, "refused", seconds=30)
    assert admin("token", "revoke", name, "--yes").status == 3


def test_a_rotation_of_keys_logs_nobody_out(admin, person):
    before = admin("key", "list", "-o", "json").json["items"]
    made = admin("key", "rotate", "-o", "json").json
    assert made["state"] == "published"
    assert len(admin("key", "list", "-o", "json").json["items"]) == len(before) + 1
    wait_until(
        lambda: (
            {k["kid"]: k["state"] for k in admin("key", "list", "-o", "json").json["items"]}[made["kid"]] == "signs"
        ),
        "the new key signs",
        seconds=40,
    )
    assert person("whoami").status == 0


def test_the_audit_is_read_by_time_action_and_person(admin, name):
    admin("user", "add", name, "--password-stdin", stdin=lines(PASSWORD))
    entries = admin("audit", "list", "--since", "10m", "--action", "user.add", "--subject", name, "-o", "json")
    assert [(e["by"], e["subject"], e["outcome"]) for e in entries.json["items"]] == [(ADMIN, name, "done")]
    assert PASSWORD not in admin("audit", "list", "-o", "json").out
    assert admin("audit", "list", "--since", "2999-01-01", "-o", "json").json["items"] == []
    assert admin("audit", "list", "--since", "yesterday").status == 2


def test_no_secret_stands_in_the_logs(site, admin):
    logs = site.cluster.plan.directory / "logs"
    text = "".join(path.read_text(errors="replace") for path in logs.iterdir() if path.is_file())
    assert text
    for secret in (PASSWORD, NEW_PASSWORD, site.token(), site.token().split(".")[2]):
        assert secret not in text
