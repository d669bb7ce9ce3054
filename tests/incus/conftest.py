"""One real Incus a run, and one deployment in it."""

from tests.incus.bed import bed
from tests.incus.deployed import deployed, wheelhouse

__all__ = ["bed", "deployed", "wheelhouse"]
