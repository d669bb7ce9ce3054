"""One real Incus a run, and one deployment in it."""

from tests.support.deployed import deployed, wheelhouse
from tests.support.incus_bed import bed

__all__ = ["bed", "deployed", "wheelhouse"]
