"""A part of what ``python tests/kills.py`` does two hundred times."""

import sys
from pathlib import Path

import pytest
from kills import Victim, adopting


@pytest.mark.skipif(sys.platform != "linux", reason="who outlives its parent is read in /proc")
def test_a_killed_download_leaves_no_half_files_and_the_next_one_succeeds(tmp_path: Path) -> None:
    victim = Victim("download", tmp_path)
    try:
        with adopting():
            for number in range(6):  # earlier each time, should it be faster than the first run
                killed, faults = victim.kill(number, 0.6 * victim.seconds / 2**number)
                assert faults == []
                if killed:
                    break
    finally:
        victim.command.close()
    assert killed
