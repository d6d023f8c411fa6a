"""The door of a head: a program that answers a far client on standard input and output.

It runs where the head does, under the account of the head, for as long as the client's ssh lasts.
Who can start it can read the state directory anyway, so it gives what that holds: the ledger's
rows, where the bus is, the credential and the key that make a client.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, BinaryIO

from covey._version import VERSION
from covey.agent.root import harden
from covey.client import doorway
from covey.client.cluster import files_of
from covey.client.reach import labels_of
from covey.errors import CoveyError, DecodeError, NotUp
from covey.scheduler.rows import JobRow, OutcomeRow
from covey.scheduler.view import LedgerView
from covey.settings import Settings
from covey.wire.messages import PROTOCOL

#: What a client reads of the ledger (`far_view.FarView`).
_OF_VIEW = ("last_job", "job", "outcomes_of", "output", "items", "events")


def serve(settings: Settings) -> None:
    """Answer until the client is gone."""
    harden()
    # Whatever else is printed here must not come between the frames.
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    _all(out, b"\n" + doorway.MARK)
    door = _Door(settings)
    source = sys.stdin.buffer
    while True:
        try:
            method, args = doorway.read_frame(source.read)
        except (EOFError, OSError):
            return
        try:
            _all(out, doorway.frame(door.answer(method, args)))
        except OSError:
            return


def _all(out: "BinaryIO | Any", data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


class _Door:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files = files_of(settings)
        self._view = LedgerView(settings.state_dir)
        self._methods: dict[str, Callable[..., Any]] = {
            "hello": self._hello,
            "head": self._head,
            "schedulers": self._schedulers,
            "bus": self._bus,
            "machines": lambda: labels_of(self._settings),
            "outcomes": self._outcomes,
            "attempts": self._attempts,
            "jobs": self._jobs,
            **{name: getattr(self._view, name) for name in _OF_VIEW},
        }

    def answer(self, method: object, args: list[Any]) -> list[Any]:
        """[value, nil] or [nil, error]."""
        try:
            asked = self._methods.get(str(method))
            if asked is None:
                raise DecodeError(f"this head's covey ({VERSION}) does not know {method!r}")
            return [doorway.plain(asked(*args)), None]
        except CoveyError as error:
            return [None, doorway.error_to_plain(error)]
        except (TypeError, ValueError, OSError) as error:
            told = DecodeError(f"the head's covey ({VERSION}) cannot answer {method!r}: {error}")
            return [None, doorway.error_to_plain(told)]

    def _hello(self) -> dict[str, Any]:
        told = {"version": VERSION, "protocol": PROTOCOL, "cluster": self._settings.cluster}
        return {**told, "is_up": self._files.is_begun()}

    def _head(self) -> dict[str, Any] | None:
        head = self._files.head()
        return None if head is None else {"term": head.term, "is_alive": head.is_alive}

    def _schedulers(self) -> dict[str, list[Any]]:
        known = self._files.schedulers()
        return {name: [record.term, record.is_alive] for name, record in known.items()}

    def _bus(self) -> dict[str, Any]:
        files = self._files
        try:
            return {
                "address": asdict(files.address()),
                "space": files.space(self._settings.cluster),
                "submit_key": files.submit_key(),
            }
        except OSError as error:
            raise NotUp from error

    def _outcomes(
        self, job: int, after_seq: int, limit: int, with_output: bool
    ) -> list[OutcomeRow]:
        return self._view.outcomes(job, after_seq, limit, with_output=with_output)

    def _attempts(
        self, job: int, after_seq: int, limit: int, with_output: bool
    ) -> list[OutcomeRow]:
        return self._view.attempts(job, after_seq, limit, with_output=with_output)

    def _jobs(self, states: list[str]) -> list[JobRow]:
        return self._view.jobs(states=states)
