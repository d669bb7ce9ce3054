"""The files of a local cluster: what stands in them, and who may read them."""

import configparser
import json
import shlex
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values

from prodcore.errors import ConfigError, Conflict
from prodcore.identity.users import LIFE, opens
from prodcore.installation.secret import SEALED_CODE_FILE, ensure_secrets, ensure_setup_code, forget_setup_code, locked
from prodcore.installation.set_up import users_of
from prodcore.local.plan import GUARD, LocalPlan, services_for
from prodcore.local.ports import LocalPorts
from prodcore.local.render import check_directory_name, render_env_files, render_member, render_supervisor
from prodcore.local.state import LocalState, claim_directory, load_state, save_state, users_fingerprint
from prodcore.support.secure_files import make_private_directory, write_private

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def plan(tmp_path):
    ports = LocalPorts(rsa=31017, web=31300)
    return LocalPlan(tmp_path / "a cluster 100%", ports, services_for(ports, workers=2, threads=8), python="/py 3/bin")


@pytest.fixture
def secrets(plan):
    make_private_directory(plan.directory)
    return ensure_secrets(plan.directory, plan.keyfile)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_only_their_owner_reads_them(plan, secrets):
    assert ensure_secrets(plan.directory, plan.keyfile) == secrets
    assert mode(plan.directory) == 0o700
    assert {f.name: mode(f) for f in plan.directory.iterdir()} == dict.fromkeys(("secrets.json", "keyfile"), 0o600)
    assert len({secrets.root, secrets.web, secrets.auth, secrets.operator, secrets.session, secrets.service}) == 6
    assert secrets.root not in repr(secrets)


def test_the_setup_code_lasts_a_day_and_services_get_its_hash_only(plan, secrets):
    code = ensure_setup_code(plan.directory, NOW)
    sealed = plan.directory / SEALED_CODE_FILE
    assert ensure_setup_code(plan.directory, NOW + LIFE) == code
    assert code not in sealed.read_text()
    assert {mode(plan.directory / name) for name in ("setup-code", SEALED_CODE_FILE)} == {0o600}
    assert dotenv_values(stream=StringIO(render_env_files(plan, secrets)["auth"]))["PRODCTL_SETUP_CODE_FILE"] == str(
        sealed
    )

    later = NOW + 2 * LIFE
    renewed = ensure_setup_code(plan.directory, later)
    assert renewed != code
    assert opens(sealed.read_text(), renewed, later)
    assert not opens(sealed.read_text(), code, later)
    forget_setup_code(plan.directory)
    assert {f.name for f in plan.directory.iterdir()} == {"secrets.json", "keyfile"}


@pytest.mark.parametrize("sealed", ["", " ", "x", "x y", "\x00", f"{'0' * 64} 2026-01-01"])
def test_a_damaged_sealed_code_opens_nothing(sealed):
    assert not opens(sealed, "AAAAA", NOW)


def test_damaged_secrets_are_never_replaced(plan, secrets):
    (plan.directory / "secrets.json").write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        ensure_secrets(plan.directory, plan.keyfile)


def test_a_member_listens_on_loopback_only_and_knows_the_keyfile(plan):
    member = plan.program("rsA-2")
    config = json.loads(render_member(plan, member))
    assert config["net"]["bindIp"] == "127.0.0.1"
    assert config["net"]["unixDomainSocket"] == {"enabled": False}
    assert "zlib" not in config["net"]["compression"]["compressors"]
    assert config["security"] == {"authorization": "enabled", "keyFile": str(plan.keyfile)}
    assert "enableTestCommands" not in config["setParameter"]


def test_the_supervisor_reads_back_every_path_and_holds_no_secret(plan, secrets):
    text = render_supervisor(plan, Path("/opt/my mongod/mongod"), 100_000)
    parsed = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parsed.read_string(text)
    command = shlex.split(parsed["program:rsB-3"]["command"].replace("%%", "%"))
    assert command == ["/opt/my mongod/mongod", "--config", str(plan.member_config(plan.program("rsB-3")))]
    assert shlex.split(parsed["program:webapp"]["command"])[:4] == ["/py 3/bin", "-m", "prodcore.web.serve", "webapp"]
    assert parsed["unix_http_server"]["chmod"] == "0600"
    assert {parsed[f"program:{m.name}"]["autorestart"] for m in plan.members} == {"unexpected"}
    for secret in (secrets.root, secrets.web, secrets.service, secrets.session):
        assert secret not in text


def test_the_guard_works_with_the_operators_settings_and_comes_back_when_it_dies(plan):
    parsed = configparser.RawConfigParser()
    parsed.read_string(render_supervisor(replace(plan, daemons=(GUARD,)), Path("/opt/mongod"), 100_000))
    section = parsed["program:guard"]
    assert section["environment"].startswith(f'PRODCTL_ENV_FILE="{plan.env_file("operator")}"'.replace("%", "%%"))
    assert section["autorestart"] == "true"
    assert "program:guard" not in render_supervisor(plan, Path("/opt/mongod"), 100_000)


def test_env_files_give_each_its_own_user_and_a_shell_reads_them_too(plan, secrets):
    files = render_env_files(plan, secrets)
    path = plan.directory / "web.env"
    path.write_text(files["web"])
    values = dotenv_values(path)
    assert values["DB1_URL"] == (
        f"mongodb://web:{secrets.web}@127.0.0.1:31017,127.0.0.1:31018,127.0.0.1:31019"
        "/products_db?replicaSet=rsA&authSource=admin"
    )
    printer = "import os; print(os.environ['DB1_URL'])"
    script = f'set -a; . {shlex.quote(str(path))}; {shlex.quote(sys.executable)} -c "{printer}"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == values["DB1_URL"]
    assert not [one for one in (secrets.root, secrets.backup) if one in "".join(files.values())]
    assert secrets.operator not in files["web"] + files["auth"]
    assert "DB1_URL" not in files["auth"]
    assert secrets.session not in files["auth"] + files["operator"]


def test_each_service_has_the_rights_it_needs_and_no_more(secrets):
    rights = {rs: {user.name: set(user.roles) for user in users_of(rs, secrets)} for rs in ("rsA", "rsU")}
    assert set(rights["rsA"]) == {"root", "web", "operator", "backup"}
    assert rights["rsU"]["backup"] == rights["rsA"]["backup"] == {("backup", "admin"), ("backupClock", "admin")}
    assert rights["rsA"]["web"] == {("readWrite", "products_db"), ("clusterMonitor", "admin")}
    own = {("drillOrderer", "admin"), ("skuClaimer", "admin"), ("viewKeeper", "admin")}
    assert rights["rsU"]["web"] == {("read", "prodctl_meta"), ("clusterMonitor", "admin"), *own}
    assert rights["rsU"]["auth"] == {("readWrite", "auth_db"), ("auditWriter", "admin")}
    assert secrets.web not in repr(users_of("rsA", secrets))


def test_the_fingerprint_of_users_changes_with_their_passwords(plan, secrets, tmp_path):
    others = ensure_secrets(tmp_path, tmp_path / "keyfile")
    assert users_fingerprint(users_of("rsA", secrets)) != users_fingerprint(users_of("rsA", others))
    assert users_fingerprint(users_of("rsA", secrets)) == users_fingerprint(users_of("rsA", secrets))


@pytest.mark.parametrize("name", ["it's", 'a"b', "a $x", "a\\b", "a #b", "a ;b", "a\nb", "x" * 90])
def test_a_directory_that_configuration_files_cannot_name_is_refused(name):
    with pytest.raises(ConfigError):
        check_directory_name(Path("/tmp") / name)  # noqa: S108  nothing is made there


def test_a_private_file_is_written_whole_and_says_whether_it_changed(tmp_path):
    path = tmp_path / "f"
    assert write_private(path, "one")
    assert not write_private(path, "one")
    assert write_private(path, "two")
    assert (path.read_text(), mode(path), [f.name for f in tmp_path.iterdir()]) == ("two", 0o600, ["f"])


def test_state_is_remembered_and_marks_the_directory(tmp_path):
    assert load_state(tmp_path) is None
    save_state(tmp_path, LocalState({"rsa": 1}, ready_sets={"rsA": "x"}))
    assert load_state(tmp_path) == LocalState({"rsa": 1}, ready_sets={"rsA": "x"})
    claim_directory(tmp_path)


def test_state_of_another_format_is_refused(tmp_path):
    save_state(tmp_path, LocalState({}, format=99))
    with pytest.raises(ConfigError, match="format 99"):
        load_state(tmp_path)


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(ConfigError, match=r"holds thesis\.txt"):
        claim_directory(tmp_path)
    assert mode(tmp_path) != 0o000
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_directory_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used: not a directory"):
        claim_directory(tmp_path / "file" / "cluster")


def test_one_command_at_a_time_works_on_a_cluster(tmp_path):
    script = (
        "import sys; from pathlib import Path; from prodcore.installation.secret import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Conflict, match=f"process {other.pid}"), locked(tmp_path):
            pass
        other.communicate("")
    with locked(tmp_path):
        pass
