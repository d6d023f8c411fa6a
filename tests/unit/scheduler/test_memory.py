"""Jobs in memory: outcomes are kept until the client has them, and jobs go with their clients."""

import hashlib
from typing import Any

import pytest

from covey.core.events import CancelAsked, Event, Opened
from covey.errors import BlobMissing, ChecksumMismatch, FileError, JobNotFound
from covey.files.memory_blobs import MemoryBlobs
from covey.model.job import JobSpec, Shape
from covey.model.reference import is_reference, make_reference, read_reference
from covey.model.task import OutcomeState
from covey.model.users import Users
from covey.scheduler import memory
from covey.scheduler.admission import Admission
from covey.scheduler.memory import BATCH_OUTCOMES, WINDOW_OUTCOMES, MemoryJobs
from covey.settings import INLINE_MAX_BYTES
from covey.wire.codec import cut, spec_to_wire
from covey.wire.messages import Advanced

DONE = int(OutcomeState.SUCCEEDED)


class Client:
    """A shared scheduler's jobs, and the one client that hears of them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.heard: list[Advanced] = []
        self.blobs = MemoryBlobs(quota_bytes=1_000_000)
        self.jobs = MemoryJobs(
            handle=self.events.append,
            tell=lambda _, message: self.heard.append(message),
            running=lambda _: 0,
            blobs=self.blobs,
            admission=Admission(Users, lambda: [("m1", ())]),
        )
        spec = spec_to_wire(JobSpec(shapes=(Shape(kind="callable"),)))
        self.job = self.jobs.submit("key", spec, _ignore)

    def add(self, *items: bytes) -> None:
        self.jobs.add(self.job, 1, 1, list(items), _ignore)

    def end(self, *reports: bytes, first: int = 1) -> None:
        ids = list(range(first, first + len(reports)))
        self.jobs.resolved(self.job, ids, [DONE] * len(ids), list(reports))

    def watch(self, after: int) -> dict[str, Any]:
        return self.jobs.watched("client-1", self.job, after)


def _ignore(_: int) -> None:
    """Nobody waits."""


def test_the_same_key_is_the_same_job() -> None:
    client = Client()
    assert client.jobs.submit("key", spec_to_wire(JobSpec()), _ignore) == client.job
    assert [type(event) for event in client.events].count(Opened) == 1


def test_a_job_whose_function_is_not_there_leaves_nothing_behind() -> None:
    client = Client()
    context = hashlib.sha256(b"function").hexdigest()
    spec = spec_to_wire(JobSpec(shapes=(Shape(kind="callable", context=context),)))
    with pytest.raises(BlobMissing):
        client.jobs.submit("other", spec, _ignore)
    assert (client.jobs.open, client.jobs.submitted) == (1, 1)
    client.blobs.put(b"function")
    assert client.jobs.submit("other", spec, _ignore) == 2
    assert [type(event) for event in client.events].count(Opened) == 2


def test_outcomes_are_told_in_order_and_again_until_the_client_says_that_it_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "RESEND_AFTER_S", -1.0)
    client = Client()
    client.add(b"a", b"b", b"c")
    client.end(b"1", b"2")
    assert client.heard == [], "nobody watches yet"
    client.watch(0)
    client.end(b"3", first=3)
    assert [(m.seq, m.ids, cut(m.body, m.lens)) for m in client.heard] == [
        (2, [1, 2], [b"1", b"2"]),
        (3, [3], [b"3"]),
    ]
    client.heard.clear()
    client.watch(1)
    assert [(m.seq, m.ids) for m in client.heard] == [(3, [2, 3])]
    client.heard.clear()
    client.watch(3)
    assert client.heard == []


def test_a_slow_client_has_a_window() -> None:
    client = Client()
    count = WINDOW_OUTCOMES + 2 * BATCH_OUTCOMES
    client.add(*[b"x"] * count)
    client.watch(0)
    client.end(*[b"r"] * count)
    sent = client.heard[-1].seq
    assert WINDOW_OUTCOMES <= sent < WINDOW_OUTCOMES + BATCH_OUTCOMES
    client.watch(sent)
    assert client.heard[-1].seq == count


def test_large_reports_are_fetched_by_digest_and_forgotten_when_they_came() -> None:
    client = Client()
    client.add(b"x")
    client.watch(0)
    large = b"r" * (INLINE_MAX_BYTES + 1)
    client.end(large)
    assert is_reference(client.heard[0].body)
    digest = read_reference(client.heard[0].body)[0]
    assert client.jobs.read(digest, 0, len(large)) == (len(large), large)
    client.watch(1)
    client.blobs.put_chunk(hashlib.sha256(b"n").hexdigest(), 0, 1, b"n")
    client.blobs.put_chunk("0" * 64, 0, 999_000, b"")
    assert client.jobs.read(digest, 0, 1) is None, "its room was needed"


def test_a_client_that_is_gone_takes_its_job_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CLIENT_GONE_MAX_S", -1.0)
    client = Client()
    client.watch(0)
    client.jobs.look()
    assert client.jobs.open == 1
    client.jobs.client_gone("client-1")
    client.watch(0)
    client.jobs.look()
    assert client.jobs.open == 1, "it was heard of again"
    client.jobs.client_gone("client-1")
    client.jobs.look()
    assert client.jobs.open == 0
    assert client.events[-1] == CancelAsked(client.job)
    with pytest.raises(JobNotFound, match="did not hear of its client"):
        client.watch(0)


def test_a_large_item_must_have_been_put_before() -> None:
    client = Client()
    data = b"d" * 100_000
    reference = make_reference(hashlib.sha256(data).hexdigest(), len(data))
    with pytest.raises(BlobMissing):
        client.add(b"small", reference)
    client.blobs.put(data)
    client.add(b"small", reference)
    assert client.jobs.take(client.job, [1, 2]) == [b"small", reference]


def test_a_blob_is_checked_and_has_a_quota() -> None:
    blobs = MemoryBlobs(quota_bytes=10)
    digest = hashlib.sha256(b"abcdef").hexdigest()
    assert blobs.put_chunk(digest, 0, 6, b"abc") == 3
    assert blobs.read_piece(digest, 0, 6) is None
    assert blobs.put_chunk(digest, 4, 6, b"ef") == 3, "a gap is not taken"
    assert blobs.put_chunk(digest, 3, 6, b"def") == 6
    assert blobs.read_piece(digest, 2, 2) == (6, b"cd")
    with pytest.raises(FileError, match="does not fit"):
        blobs.put_chunk("1" * 64, 0, 5, b"")
    with pytest.raises(ChecksumMismatch):
        blobs.put_chunk("1" * 64, 0, 4, b"wxyz")
    assert blobs.put_chunk(digest, 0, 6, b"abc") == 6
