"""Every part keeps what its kind promises; tests of its numbers are yours to write."""

from collections.abc import Callable

from vlmad.testing import parametrize_parts


@parametrize_parts("vlmad-sprout")
def test_part_keeps_its_promises(check: Callable[[], None]) -> None:
    check()
