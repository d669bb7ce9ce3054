"""The journal and the lock of drills."""

import stat

import pytest

from prodcore.drill.faults import Broken, DrillJournal, Fault
from prodcore.errors import DrillRunning

KILLED = Broken("rsA", "127.0.0.1:27017", Fault.KILL)
PAUSED = Broken("rsB", "127.0.0.1:27027", Fault.PAUSE)


@pytest.fixture
def journal(tmp_path):
    return DrillJournal(tmp_path / "drill")


def test_nothing_is_unfinished_where_no_drill_was(journal):
    assert journal.unfinished() is None


def test_a_second_drill_is_refused_and_told_who_holds_the_lock(journal, tmp_path):
    import os

    with journal.lock(), pytest.raises(DrillRunning, match=str(os.getpid())), DrillJournal(tmp_path / "drill").lock():
        pass
    with journal.lock():
        pass


def test_what_is_broken_outlives_the_drill_that_broke_it(journal, tmp_path):
    with journal.lock():
        journal.open("drill1", ("rsA", "rsB"))
        journal.breaking(KILLED)
        journal.breaking(PAUSED)
        journal.mended(KILLED)
    left = DrillJournal(tmp_path / "drill").unfinished()
    assert (left.run, left.sets, left.broken) == ("drill1", ("rsA", "rsB"), (PAUSED,))


def test_a_closed_journal_leaves_nothing(journal):
    with journal.lock():
        journal.open("drill1", ("rsA",))
        journal.close()
    assert journal.unfinished() is None


def test_others_on_the_machine_cannot_read_it(journal, tmp_path):
    with journal.lock():
        journal.open("drill1", ("rsA",))
    assert stat.S_IMODE((tmp_path / "drill").stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in (tmp_path / "drill").iterdir())
