from collections.abc import Callable

from mnistzoo.testing import parametrize_with_checks


@parametrize_with_checks("sprint")
def test_sprint_keeps_the_contract(check: Callable[[], None]) -> None:
    check()
