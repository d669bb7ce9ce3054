"""``scripts/virtualbox-forward``: two ports of loopback, named rules, nothing that a shell could take for a command.

VirtualBox cannot run here: where the script would change something, a stand-in for ``VBoxManage`` notes what it hears.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "virtualbox-forward"
RULES = {"web": "prodctl-web,tcp,127.0.0.1,3000,,3000", "incus": "prodctl-incus,tcp,127.0.0.1,8443,,8443"}


def run(*arguments, path=None):
    environment = os.environ | ({"PATH": f"{path}:{os.environ['PATH']}"} if path else {})
    return subprocess.run(
        [SCRIPT, *arguments], capture_output=True, text=True, timeout=30, env=environment, check=False
    )


@pytest.fixture
def virtualbox(tmp_path):
    """A VBoxManage that knows the facts of one machine, and notes every change: an argument a line."""
    program = tmp_path / "VBoxManage"
    program.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = showvminfo ]; then [ "$2" = "My VM" ] && cat "{tmp_path}/facts"; exit; fi\n'
        f'{{ printf "%s\\n" "$@"; echo --; }} >>"{tmp_path}/told"\n'
    )
    program.chmod(0o755)
    (tmp_path / "told").write_text("")
    return tmp_path


def told(virtualbox):
    return [change.splitlines() for change in (virtualbox / "told").read_text().split("--\n")[:-1]]


def test_it_prints_both_rules_for_every_system_and_changes_nothing():
    done = run("--vm", "My VM")
    assert done.returncode == 0
    for rule in RULES.values():
        assert f"VBoxManage modifyvm 'My VM' --natpf1 '{rule}'\n" in done.stdout
        assert f"VBoxManage controlvm 'My VM' natpf1 '{rule}'\n" in done.stdout
        assert f'VBoxManage.exe" controlvm "My VM" natpf1 "{rule}"\n' in done.stdout
    assert "5000" not in done.stdout
    assert "27017" not in done.stdout


def test_a_machine_that_is_off_is_modified(virtualbox):
    (virtualbox / "facts").write_text('VMState="poweroff"\n')
    assert run("--vm", "My VM", "--run", path=virtualbox).returncode == 0
    assert told(virtualbox) == [["modifyvm", "My VM", "--natpf1", rule] for rule in RULES.values()]


def test_in_a_machine_that_runs_an_old_rule_is_replaced_and_a_right_one_stays(virtualbox):
    (virtualbox / "facts").write_text(
        'VMState="running"\n'
        'Forwarding(0)="prodctl-web,tcp,,3000,10.0.2.15,3000"\n'
        f'Forwarding(1)="{RULES["incus"]}"\n'
        'Forwarding(2)="ssh,tcp,127.0.0.1,2222,,22"\n'
    )
    done = run("--vm", "My VM", "--run", path=virtualbox)
    assert done.returncode == 0
    assert told(virtualbox) == [
        ["controlvm", "My VM", "natpf1", "delete", "prodctl-web"],
        ["controlvm", "My VM", "natpf1", RULES["web"]],
    ]
    assert "8443 is forwarded already" in done.stdout


def test_an_unknown_machine_is_said_to_be_unknown(virtualbox):
    (virtualbox / "facts").write_text("")
    done = run("--vm", "Other", "--run", path=virtualbox)
    assert (done.returncode, told(virtualbox)) == (3, [])
    assert "knows no machine called Other" in done.stderr


@pytest.mark.parametrize("name", ["x;reboot", "--config=a", "$(id)", "a'b", "", "a\nb"])
def test_what_is_no_name_is_refused_and_nothing_runs(virtualbox, name):
    done = run("--vm", name, "--run", path=virtualbox)
    assert (done.returncode, done.stdout, told(virtualbox)) == (2, "", [])
    assert done.stderr.startswith("Error: --vm")


def test_without_virtualbox_it_says_where_to_run_it(tmp_path):
    for tool in ("bash", "env"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    done = subprocess.run(
        [SCRIPT, "--run"], capture_output=True, text=True, timeout=30, env={"PATH": str(tmp_path)}, check=False
    )
    assert done.returncode == 6
    assert "VBoxManage is not on PATH" in done.stderr
