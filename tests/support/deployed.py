"""The whole system in real Incus containers, deployed once a run by the command itself."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from prodcore.installation.mongod import find_mongod
from tests.support.cli import PROGRAM, Answer
from tests.support.incus_bed import IMAGE, SCRIPT
from tests.support.site import ADMIN, PASSWORD

ROOT = Path(__file__).parents[2]
APPLY_SECONDS = 900
KILLS = int(os.environ.get("DEPLOY_KILLS", "1"))
URL = "http://127.0.0.1:3000"
"""Where the proxy device of the web-server listens, in the bed's network."""

_CALL = """
import json, sys, urllib.error, urllib.request
method, url, body, token = json.load(sys.stdin)
headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers, method=method)
try:
    answer = urllib.request.urlopen(request, timeout=20)
except urllib.error.HTTPError as refusal:
    answer = refusal
print(json.dumps([answer.status, answer.read().decode()]))
"""


@dataclass(frozen=True)
class Deployed:
    """A deployment on the bed; its description is ``file``, its secrets are under ``state``."""

    bed: object
    file: Path
    state: Path

    def prodctl(self, *arguments, environment=None, timeout=APPLY_SECONDS):
        """Run the command where it sees the containers."""
        done = subprocess.run(
            [SCRIPT, "run", PROGRAM, *arguments],
            env=self.environment | (environment or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Answer(done.stdout, done.stderr, done.returncode)

    def deploy(self, command, *arguments):
        """``prodctl deploy COMMAND`` on this description."""
        return self.prodctl("deploy", command, "-f", self.file, *arguments)

    def apply(self):
        """What it says on stderr; the test ends here when it fails."""
        done = self.deploy("apply")
        assert done.status == 0, done.err
        return done.err

    def apply_and_die(self, lines):
        """Kill an apply when it has said so many lines. False when it ended before."""
        command = [SCRIPT, "run", PROGRAM, "deploy", "apply", "-f", self.file]
        with subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True) as running:
            for number, _line in enumerate(running.stderr, start=1):
                if number == lines:
                    running.kill()
                    return True
        return False

    @contextmanager
    def described(self, text):
        """Deployed as another description says, for a while."""
        before = self.file.read_text()
        self.file.write_text(text)
        try:
            self.apply()
            yield self
        finally:
            self.file.write_text(before)
            self.apply()
            assert self.plan() == set()

    def plan(self):
        """Every change as where, action, what, reason."""
        done = self.deploy("plan", "-o", "json")
        assert done.status == 0, done.err
        return {(c["where"], c["action"], c["what"], c["reason"]) for c in done.json["items"]}

    def findings(self):
        """What ``deploy status`` says is not as described; its exit status agrees."""
        done = self.deploy("status", "-o", "json")
        found = done.json["findings"]
        is_healthy = all(part["is_healthy"] for part in done.json["items"])
        assert done.status == (0 if is_healthy and not found else 6), done.err
        return found

    def call(self, method, path, body=None, token=None):
        """The REST API through the proxy device: status and document."""
        asked = json.dumps([method, f"{URL}/api/v1{path}", body, token])
        done = subprocess.run(
            [SCRIPT, "run", sys.executable, "-c", _CALL],
            env=self.environment,
            input=asked,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        status, text = json.loads(done.stdout)
        return status, json.loads(text)

    def token(self):
        """The admin's, who is made where there is none."""
        code = self.state / "deploy/prodctl/setup-code"
        if code.exists():
            body = {"code": code.read_text().strip(), "username": ADMIN, "password": PASSWORD}
            status, answer = self.call("POST", "/setup", body)
            assert status in (201, 409), answer
        status, answer = self.call("POST", "/session/login", {"username": ADMIN, "password": PASSWORD})
        assert status == 200, answer
        return answer["access_token"]

    @property
    def operator(self):
        """The environment of somebody who operates it."""
        return {"PRODCTL_ENV_FILE": str(self.state / "deploy/prodctl/operator.env")}

    @property
    def environment(self):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PRODCTL_", "DB"))}
        return kept | self.bed.environment | {"PRODCTL_STATE_DIR": str(self.state), "NO_COLOR": "1"}


def describe(directory, wheelhouse, **replaced):
    """A deploy.toml for the bed; ``replaced`` are the values of lines of the commented one, by their names."""
    values = {
        "image": IMAGE,
        "wheelhouse": str(wheelhouse),
        "file": str(find_mongod(None).path),
        "nat": False,
        "keep": 2,
        **replaced,
    }
    text = (ROOT / "prodcore/deploy/deploy.toml").read_text()
    for name, value in values.items():
        text, found = re.subn(
            rf"^{name} = [^#\n]*", f"{name} = {json.dumps(value)} ", text, count=1, flags=re.MULTILINE
        )
        assert found, name
    file = directory / "deploy.toml"
    file.write_text(text)
    return file


@pytest.fixture(scope="session")
def wheelhouse():
    """What a deployment installs; made once for the same content."""
    make = [ROOT / "scripts/wheelhouse", "--cached", "--python", "3.11"]
    done = subprocess.run(make, check=True, timeout=900, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def deployed(bed, wheelhouse, tmp_path_factory):
    """The five containers. Their first apply is killed at random moments, and run again."""
    directory = tmp_path_factory.mktemp("deployment")
    system = Deployed(bed, describe(directory, wheelhouse, data_pool="default"), directory / "state")
    killed = 0
    while killed < KILLS:
        if system.apply_and_die(random.randint(1, 12)):  # noqa: S311  no secret
            killed += 1
        else:  # it was faster; so again from nothing
            assert system.deploy("destroy", "--yes").status == 0
    system.apply()
    return system
