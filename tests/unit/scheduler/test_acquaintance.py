"""What an agent may fetch, and which contexts it is sent unasked."""

from typing import Any, cast

import pytest

from covey.scheduler import acquaintance
from covey.scheduler.acquaintance import Acquaintance


def _agent() -> Acquaintance:
    """One that is never spoken to: what may be sent is known without its line."""
    return Acquaintance(cast(Any, None), cast(Any, None))


def test_a_context_goes_along_once_in_a_session():
    agent = _agent()
    assert agent.name_context("f", b"first")
    assert not agent.name_context("f", b"first")
    assert agent.name_context("g", b"first")
    assert agent.name_context("f", b"second")
    assert agent.may_fetch("f")
    assert agent.may_fetch("g")
    assert not agent.may_fetch("h")


def test_a_context_that_many_others_followed_goes_along_again():
    agent = _agent()
    for number in range(acquaintance.SENT_MAX + 1):
        assert agent.name_context(str(number), b"one")
    assert agent.name_context("0", b"one")
    assert not agent.name_context(str(acquaintance.SENT_MAX), b"one")


def test_what_may_be_fetched_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(acquaintance, "NAMED_MAX", 2)
    agent = _agent()
    for digest in ("1", "2", "1", "3"):
        agent.name_context(digest, b"one")
    assert [agent.may_fetch(digest) for digest in "123"] == [True, False, True]
