"""What holds for every ring."""

import os

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # how long an example takes says something of the machine
settings.load_profile("untimed")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """On a laptop something may be missing, and a test says so loudly; in CI a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        reporter.write_line("A test was skipped: in CI that is a failure.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
