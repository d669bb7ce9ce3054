"""The OpenAPI document, fuzzed with every check of schemathesis: no 5xx, nothing that the document does not say."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("schemathesis")
CONFIG = Path(__file__).with_name("schemathesis.toml")
SECONDS = int(os.environ.get("FUZZ_SECONDS", "15"))
PHASES = os.environ.get("FUZZ_PHASES", "examples,coverage,fuzzing")
"""Sequences of calls ("stateful") differ from run to run by what the server answers: `make fuzz` has them too."""


def test_no_request_is_answered_with_5xx_or_otherwise_than_documented(site, tmp_path):
    options = [
        *("--include-path-regex", "^/api/v1/(products|imports|shards|cluster)"),
        *("--checks", "all", "--max-examples", "20", "--seed", "4", "--max-time", str(SECONDS), "--phases", PHASES),
        *("--request-timeout", "20", "--generation-database", "none", "--continue-on-failure", "--no-color"),
    ]
    done = subprocess.run(
        [PROGRAM, "--config-file", CONFIG, "run", f"{site.url}/api/openapi.json", *options],
        cwd=tmp_path,
        env={**os.environ, "FUZZ_TOKEN": site.token()},
        capture_output=True,
        text=True,
        timeout=60 + 5 * SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8_000:]
    assert " generated" in done.stdout
