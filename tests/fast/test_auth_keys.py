"""The signing keys: private files, published before they sign, kept until nobody needs them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from authsvc.keys import PUBLISHED_AHEAD, KeyRing
from prodcore.errors import ConfigError


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "keys"


def test_the_first_use_makes_a_key_that_signs_at_once(directory):
    ring = KeyRing(directory)
    assert ring.signing(datetime.now(UTC)).kid == ring.published()[0].kid
    assert directory.stat().st_mode & 0o777 == 0o700
    secret_files = [path for path in directory.iterdir() if path.name != "lock"]
    assert secret_files
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in secret_files)


def test_many_workers_starting_at_once_make_one_key(directory):
    with ThreadPoolExecutor(16) as pool:
        rings = list(pool.map(lambda _: KeyRing(directory), range(16)))
    assert len({ring.published()[0].kid for ring in rings}) == 1
    assert len(rings[0].published()) == 1
    assert len({ring.derive("refresh") for ring in rings}) == 1


def test_a_new_key_is_published_before_it_signs_on_every_worker(directory):
    ring, other = KeyRing(directory), KeyRing(directory)
    now = datetime.now(UTC)
    old = ring.signing(now)
    other.published()
    new = ring.rotate(now)
    assert {key.kid for key in other.published()} == {old.kid, new.kid}
    assert other.signing(now).kid == old.kid
    assert other.signing(now + PUBLISHED_AHEAD).kid == new.kid


def test_an_old_key_is_kept_while_its_tokens_may_live_and_dropped_later(directory):
    ring = KeyRing(directory)
    now = datetime.now(UTC)
    first = ring.signing(now).kid
    ring.rotate(now)
    ring.rotate(now + timedelta(minutes=75))
    assert first in {key.kid for key in ring.published()}
    ring.rotate(now + timedelta(minutes=90))
    assert first not in {key.kid for key in ring.published()}
    assert len(ring.published()) == 3


def test_secrets_for_different_purposes_differ(directory):
    ring = KeyRing(directory)
    assert ring.derive("refresh") != ring.derive("totp")


def test_keys_that_others_can_read_are_refused(directory):
    KeyRing(directory)
    directory.chmod(0o755)
    with pytest.raises(ConfigError, match="open to other users"):
        KeyRing(directory)
    directory.chmod(0o700)
    key = next(directory.glob("*.pem"))
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="open to other users"):
        KeyRing(directory)
