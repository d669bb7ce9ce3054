"""What holds for every ring, and the one running system that tests through HTTP, program and supervisor share."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.cli import Cli
from tests.support.site import start_site

pytest_plugins = ["tests.support.replica_sets"]

settings.register_profile("untimed", deadline=None)  # how long an example takes says something of the machine
settings.load_profile("untimed")

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell starts its background jobs with Ctrl-C ignored, and what the tests start would inherit that."""
signal.signal(signal.SIGTERM, signal.default_int_handler)
"""Whoever ends the run so wants its clusters ended too."""


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The system with its first admin and one user of each other role."""
    site = start_site(tmp_path_factory.mktemp("site") / "cluster")
    try:
        site.make_admin()
        site.add_people()
        yield site
    finally:
        site.cluster.destroy()


@pytest.fixture
def cli(site, tmp_path):
    """The installed program, logged in as the admin by a token in its environment."""
    return Cli(tmp_path, {"PRODCTL_URL": site.url, "PRODCTL_TOKEN": site.token()})


@pytest.fixture(scope="module")
def token(site):
    """The admin's access token."""
    return site.token()


def pytest_addoption(parser):
    parser.addoption("--nightly", action="store_true", help="run also what is marked nightly")


def pytest_collection_modifyitems(config, items):
    """The first test that needs a system also waits for all of it to come up: minutes on a busy machine."""
    if not config.getoption("nightly"):
        nightly = [item for item in items if item.get_closest_marker("nightly")]
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if item not in nightly]
    for item in items:
        if not item.path.is_relative_to(Path(__file__).parent / "fast") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(400))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """On a laptop something may be missing, and a test says so loudly; in CI a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        reporter.write_line("A test was skipped: in CI that is a failure.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
