"""What clients and the head say to each other. `messages` holds the rest, the tags and the rules.

All of these are unsequenced: the client repeats a request with the same nonce until the answer
comes, and each is idempotent.
"""

from dataclasses import dataclass, field
from typing import Any

from covey.model.job import Shape


@dataclass(slots=True)
class Submit:
    """A job of a client; the same key is the same job. Answer: {"job": N}."""

    nonce: int
    key: str
    spec: dict[str, Any]


@dataclass(slots=True)
class AddItems:
    """Items `first`, `first`+1, … of a job. Counted only if `first` is the number held + 1.

    Answer: {"held": n}. Items are cut from `body` by `lens`; all have the one shape.
    """

    nonce: int
    job: int
    shape: int
    first: int
    lens: list[int]
    body: bytes = b""


@dataclass(slots=True)
class AddShape:
    """One more shape of an open job; the same number again is the same shape.

    Answer: {"shape": n}.
    """

    nonce: int
    job: int
    shape: int
    terms: Shape


@dataclass(slots=True)
class Seal:
    """No more items: the job has `total`. Answer: {"held": n}."""

    nonce: int
    job: int
    total: int


@dataclass(slots=True)
class Cancel:
    """Cancel tasks (no ids = the job). Answer: {"state": …}."""

    nonce: int
    job: int
    ids: list[int] = field(default_factory=list[int])


@dataclass(slots=True)
class Watch:
    """Tell me (`Advanced`) when rows after `after_seq` are recorded for the job, for the next 30
    s.
    """

    nonce: int
    job: int
    after_seq: int


@dataclass(slots=True)
class Follow:
    """A client wants `Output` of a running task of a durable job (`logs -f`, `--lb`), for the
    next 30 s.
    """

    nonce: int
    job: int
    id: int
    on: bool


@dataclass(slots=True)
class Put:
    """A piece of a blob for the head to keep. Answer: {"held": bytes held so far}."""

    nonce: int
    digest: str
    offset: int
    size: int
    body: bytes = b""


@dataclass(slots=True)
class Ask:
    """A question or order of a client: `status`, `ping`, `jobs`, `down`, `chaos`, … Answer: a
    map.
    """

    nonce: int
    what: str
    args: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class Answer:
    """head -> client, to the request with this nonce. `error` = [class name, sentence] or empty."""

    nonce: int
    value: dict[str, Any]
    error: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Advanced:
    """head -> client: the ledger of `job` has rows up to `seq`; the job is in `state`.

    A shared scheduler has no ledger: then the last `len(ids)` of these outcomes are here, reports
    cut from `body` by `lens` (a large one is a reference, to be asked for with `Fetch`). It keeps
    them, and sends them again, until a `Watch` says that they came.
    """

    job: int
    seq: int
    state: str
    ids: list[int] = field(default_factory=list[int])
    states: list[int] = field(default_factory=list[int])
    lens: list[int] = field(default_factory=list[int])
    body: bytes = b""
