"""A part of what ``python tests/kills.py`` does two hundred times."""

import sys
from pathlib import Path

import pytest
from kills import Victim, adopting


@pytest.mark.skipif(sys.platform != "linux", reason="who outlives its parent is read in /proc")
def test_a_killed_download_leaves_no_half_and_the_next_one_ends_as_if_it_were_not(
    tmp_path: Path,
) -> None:
    victim = Victim("download", tmp_path)
    try:
        with adopting():
            _, faults = victim.kill(0, 0.6 * victim.seconds)
    finally:
        victim.command.close()
    assert faults == []
