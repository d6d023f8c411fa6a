"""Machines over ssh for tests: skipped where this computer cannot be several, failing under CI."""

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from covey.testing.sshd import Fleet, Unavailable, fleet


@contextmanager
def a_fleet(
    count: int = 1,
    *,
    pythons: Sequence[str] = (),
    users: bool = False,
    shared_home: bool = False,
    password: str = "",
    options: Mapping[str, str] | None = None,
) -> Generator[Fleet]:
    """`covey.testing.sshd.fleet`, or a skip that says what is missing."""
    with ExitStack() as stack:
        try:
            lab = stack.enter_context(
                fleet(
                    count,
                    pythons=pythons,
                    users=users,
                    shared_home=shared_home,
                    password=password,
                    options=options,
                )
            )
        except Unavailable as missing:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(missing))
        yield lab
