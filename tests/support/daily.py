"""Which cases of a table run for every change; the others are left to ``make nightly``."""

import pytest


def daily(values, *places):
    """All values, of which only those at these places run daily."""
    return [v if i in places else pytest.param(v, marks=pytest.mark.nightly) for i, v in enumerate(values)]
