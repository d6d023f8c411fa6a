"""What the head, or a shared scheduler, answers to its clients: requests in, answers out.

A request is obeyed when it is signed with the cluster's submit key under this scheduler's term; a
repeated nonce gets the answer that was given, nothing is done twice.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from covey.bus.peer import Peer
from covey.bus.port import Bus
from covey.client.cluster import HEAD
from covey.errors import CoveyError, DecodeError, Forged, JobNotFound, Stale
from covey.files.transfer import serve
from covey.scheduler.ports import Blobs, Jobs
from covey.wire.codec import cut
from covey.wire.messages import (
    AddItems,
    AddShape,
    Advanced,
    Answer,
    Ask,
    Cancel,
    Fetch,
    Follow,
    Frame,
    Message,
    Output,
    Put,
    Seal,
    Submit,
    Watch,
)
from covey.wire.signing import Context
from covey.wire.subjects import to_scheduler

log = logging.getLogger(__name__)

#: Clients whose keys and last answers are remembered.
CLIENTS_MAX = 1024
#: Answers remembered per client.
ANSWERS_MAX = 256
#: Clients of which only the last nonce is remembered, so that what they said is not obeyed again.
FORMER_CLIENTS_MAX = 65_536
#: A watch or a follow ends by itself after this long.
INTEREST_S = 30.0


@dataclass(slots=True)
class _Client:
    name: str
    peer: Peer
    #: nonce -> answer; None while it is being worked on.
    answers: OrderedDict[int, Answer | None] = field(
        default_factory=OrderedDict[int, "Answer | None"]
    )
    #: The answers up to this nonce are forgotten: who says such a request again is not obeyed.
    floor: int = 0
    #: job -> when the interest in its progress ends (monotonic).
    watches: dict[int, float] = field(default_factory=dict[int, float])
    #: (job, task) -> the same for output.
    follows: dict[tuple[int, int], float] = field(default_factory=dict[tuple[int, int], float])


Reply = Callable[[dict[str, Any]], None]
#: (client, job, after_seq) -> the answer to a `Watch`.
Watched = Callable[[str, int, int], dict[str, Any]]


class Desk:
    """Serves the clients of a head or of a shared scheduler, by the name that it has on the bus.

    watched: what a `Watch` is answered. asked: answers `Ask` by its `what`; each handler gets the
    arguments and a reply function.
    """

    def __init__(
        self,
        *,
        bus: Bus,
        cluster: str,
        term: int,
        submit_key: bytes,
        jobs: Jobs,
        blobs: Blobs,
        watched: Watched,
        asked: dict[str, Callable[[dict[str, Any], Reply], None]],
        name: str = HEAD,
    ) -> None:
        self._name = name
        self._bus = bus
        self._cluster = cluster
        self._term = term
        self._submit_key = submit_key
        self._jobs = jobs
        self._blobs = blobs
        self._watched = watched
        self._asked = asked
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._floors: OrderedDict[str, int] = OrderedDict()
        #: Requests that were not obeyed because their signature is wrong.
        self.forged = 0
        #: Requests that were not obeyed because they are late, or said again.
        self.stale = 0
        self._handlers: dict[type[Any], Callable[[_Client, Any, Reply], None]] = {
            Submit: self._submit,
            AddShape: lambda _, m, reply: jobs.shape(
                m.job, m.shape, m.terms, lambda n: reply({"shape": n})
            ),
            AddItems: self._add,
            Seal: lambda _, m, reply: jobs.seal(m.job, m.total, lambda n: reply({"held": n})),
            Cancel: self._cancel,
            Watch: self._watch,
            Follow: self._follow,
            Put: self._put,
            Ask: self._ask,
        }

    def on_packet(self, sender: str, data: bytes) -> None:
        """A packet from somebody who is no agent."""
        client = self._clients.get(sender) or self._acquaint(sender)
        try:
            frame = client.peer.open(data)
        except Stale:
            self.stale += 1
            return
        except (Forged, DecodeError) as error:
            self.forged += 1
            log.warning("a request of %s was not obeyed: %s", sender, error)
            return
        if frame is None:
            return
        if isinstance(frame.message, Fetch):
            self._tell(client, serve(frame.message, self._blobs.read_piece))
        elif type(frame.message) in self._handlers:
            self._remember(sender, client)
            self._serve(client, frame.message)

    def advanced(self, job: int, seq: int, state: str) -> None:
        """The ledger has rows of `job` up to `seq`: tell who watches."""
        now = time.monotonic()
        for client in self._clients.values():
            if client.watches.get(job, 0.0) > now:
                self._tell(client, Advanced(job, seq, state))

    def tell(self, name: str, message: Message) -> None:
        """Say something to a client that is known."""
        if client := self._clients.get(name):
            self._tell(client, message)

    def output(self, message: Output) -> None:
        """A followed task wrote something: tell who follows."""
        now = time.monotonic()
        for client in self._clients.values():
            until = max(
                client.follows.get((message.job, message.id), 0.0),
                client.follows.get((message.job, 0), 0.0),
            )
            if until > now:
                self._tell(client, message)

    # ------------------------------------------------------------ requests

    def _serve(self, client: _Client, message: Any) -> None:
        nonce: int = message.nonce
        if nonce <= client.floor:
            self.stale += 1
            return
        if nonce in client.answers:
            known = client.answers[nonce]
            if known is not None:
                self._tell(client, known)
            return
        client.answers[nonce] = None

        def reply(value: dict[str, Any], error: list[str] | None = None) -> None:
            answer = Answer(nonce, value, error or [])
            client.answers[nonce] = answer
            self._forget_answers(client)
            self._tell(client, answer)

        try:
            self._handlers[type(message)](client, message, reply)
        except CoveyError as error:
            reply({}, [type(error).__name__, str(error)])
        except (TypeError, ValueError, KeyError) as error:
            # A request of another covey: its sender is told, the head goes on.
            reply({}, ["DecodeError", f"the request makes no sense to this head ({error!r})"])

    def _forget_answers(self, client: _Client) -> None:
        answered = [nonce for nonce, answer in client.answers.items() if answer is not None]
        for nonce in answered[: max(0, len(client.answers) - ANSWERS_MAX)]:
            del client.answers[nonce]
            client.floor = max(client.floor, nonce)

    def _submit(self, client: _Client, message: Submit, reply: Reply) -> None:
        self._jobs.submit(message.key, message.spec, lambda job: reply({"job": job}))

    def _add(self, client: _Client, message: AddItems, reply: Reply) -> None:
        items = cut(message.body, message.lens)
        try:
            self._jobs.add(
                message.job, message.shape, message.first, items, lambda n: reply({"held": n})
            )
        except JobNotFound:
            reply({"held": message.first - 1, "ended": True})

    def _cancel(self, client: _Client, message: Cancel, reply: Reply) -> None:
        self._jobs.cancel(message.job, message.ids)
        reply({"job": message.job})

    def _watch(self, client: _Client, message: Watch, reply: Reply) -> None:
        client.watches[message.job] = time.monotonic() + INTEREST_S
        reply(self._watched(client.name, message.job, message.after_seq))

    def _follow(self, client: _Client, message: Follow, reply: Reply) -> None:
        key = (message.job, message.id)
        if message.on:
            client.follows[key] = time.monotonic() + INTEREST_S
        else:
            client.follows.pop(key, None)
        self._jobs.tail(message.job, message.id, on=message.on)
        reply({"job": message.job})

    def _put(self, client: _Client, message: Put, reply: Reply) -> None:
        m = message
        reply({"held": self._blobs.put_chunk(m.digest, m.offset, m.size, m.body)})

    def _ask(self, client: _Client, message: Ask, reply: Reply) -> None:
        handler = self._asked.get(message.what)
        if handler is None:
            raise DecodeError(f"this head does not know how to {message.what!r}")
        handler(message.args, reply)

    # ------------------------------------------------------------ clients

    def _acquaint(self, sender: str) -> _Client:
        peer = Peer(
            self._bus,
            base_key=self._submit_key,
            context=Context(self._cluster, self._name, sender, self._term),
            directions=("answer", "ask"),
            subject=to_scheduler(self._cluster, sender, self._name),
            reply_to=to_scheduler(self._cluster, self._name, sender),
        )
        return _Client(sender, peer, floor=self._floors.get(sender, 0))

    def _remember(self, sender: str, client: _Client) -> None:
        self._clients[sender] = client
        self._clients.move_to_end(sender)
        while len(self._clients) > CLIENTS_MAX:
            name, former = self._clients.popitem(last=False)
            self._floors[name] = max(former.answers, default=former.floor)
        while len(self._floors) > FORMER_CLIENTS_MAX:
            self._floors.popitem(last=False)

    def _tell(self, client: _Client, message: Message) -> None:
        client.peer.send(Frame(b"", 0, 0, message))

    def gone(self, sender: str) -> None:
        """The server says that nobody listens there now: nothing is told there unasked."""
        if client := self._clients.get(sender):
            client.watches.clear()
            client.follows.clear()
