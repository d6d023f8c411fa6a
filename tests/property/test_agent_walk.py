"""One agent among schedulers that say anything that the protocol allows, in any order.

The joint machine drives both cores; here schedulers need not be sensible, so that the agent meets
what no sane one would say: grants without reservations, stops of what never was, openings any time.
"""

import random
from collections import Counter
from typing import Any

import pytest
from tests.unit.core.desk import Desk, Room

from covey.core.actions import Kill, Start, Strike
from covey.core.claims import CLAIM_LIMIT_S
from covey.core.events import BusDown, BusUp, Ended, Gauged, PeerGone, Struck
from covey.wire import messages as m

STATES = [1, 1, 1, 1, 2, 3, 4]
STEPS = 200
#: Rounds within which everything that was granted has ended, once nothing new is said.
SETTLE_MAX = 1000


class Walk:
    """A room with two durable schedulers and one in memory, and random things happening."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.room = Room(slots=self.rng.choice([1, 2, 4]))
        self.names = ["head", "other", "app"]
        for name in self.names:
            self.meet(name, f"{name}-0")
        self.granted: Counter[tuple[str, int, int]] = Counter()
        self.task = 0
        self.births = 0

    def meet(self, name: str, incarnation: str) -> None:
        """A scheduler of a new incarnation."""
        desk = self.room.desks.get(name)
        term = desk.hello.term + 1 if desk else 1
        heard = desk.heard if desk else []
        desk = Desk(self.room, name, durable=name != "app", incarnation=incarnation, term=term)
        desk.heard = heard + desk.heard
        rng = self.rng
        for shape in (1, 2, 3):
            terms: dict[str, Any] = {
                "is_multi_get": rng.random() < 0.7,
                "weight": rng.choice([1.0, 3.0]),
                "may_preempt": rng.random() < 0.5,
                "is_spread": rng.random() < 0.2,
                "user": rng.choice("ab"),
                "slots": rng.choice([1, 1, 1, 2, 0]),
                "limit": rng.choice([0, 0, 1, 2]),
                "may_chunk": rng.random() < 0.7,
                "priority": rng.choice([0, 0, 1]),
                "memfree_bytes": rng.choice([0, 0, 50]),
            }
            desk.described(job=rng.choice([1, 2]), shape=shape, **terms)

    def desk(self) -> Desk:
        """Any scheduler."""
        return self.room.desks[self.rng.choice(self.names)]

    def step(self) -> None:
        """Something happens."""
        steps = [
            self.grant, self.grant, self.enqueue, self.no_task, self.end, self.end, self.end,
            self.time, self.withdraw, self.stop, self.record, self.strange, self.reopen,
        ]  # fmt: skip
        self.rng.choice(steps)()

    def grant(self) -> None:
        desk, count = self.desk(), self.rng.choice([1, 2, 30])
        ids = list(range(self.task + 1, self.task + 1 + count))
        self.task += count
        job, shape = self.rng.choice([1, 2]), self.rng.choice([1, 2, 3])
        for task in ids:
            self.granted[desk.name, job, task] += 1
        desk.grant(*ids, job=job, shape=shape)
        if self.rng.random() < 0.2:
            desk.grant(*ids, job=job, shape=shape)

    def enqueue(self) -> None:
        rng = self.rng
        shape, standing = rng.choice([1, 2, 3]), rng.random() < 0.7
        self.desk().enqueue(rng.choice([0, 1, 5]), rng.choice([1, 2]), shape, standing)

    def no_task(self) -> None:
        rng = self.rng
        shape = rng.choice([1, 1, 2, 3])
        self.desk().tell(m.NoTask(rng.choice([1, 2]), shape, closed=rng.random() < 0.1))

    def end(self) -> None:
        room = self.room
        if not room.running:
            return
        slot = self.rng.choice(sorted(room.running))
        left = len(room.running[slot].ids) - room.ended.get(slot, 0)
        took_s = self.rng.choice([0.00001, 0.001, 0.3])
        parts = self.rng.randint(1, left)
        room.end(slot, self.rng.choice(STATES), took_s, parts if parts < left else 0)

    def time(self) -> None:
        self.room.wait(self.rng.choice([0.0005, 0.003, 0.1, 1.5]))

    def withdraw(self) -> None:
        ids = [self.rng.randint(1, self.task + 1) for _ in range(self.rng.choice([0, 5]))]
        self.desk().tell(m.Withdraw(self.rng.choice([1, 2]), ids))

    def stop(self) -> None:
        if self.rng.random() < 0.3:
            ids = [self.rng.randint(1, self.task + 1) for _ in range(self.rng.choice([0, 5]))]
            self.desk().tell(m.Stop(self.rng.choice([1, 2]), 0, ids, [1] * len(ids)))

    def record(self) -> None:
        desk = self.desk()
        batches = [batch.batch for batch in desk.all(m.Finished)]
        desk.tell(m.Recorded(self.rng.sample(batches, min(len(batches), 5))))

    def strange(self) -> None:
        events = [BusDown(), BusUp(), Gauged(1.0, self.rng.choice([10, 60])), PeerGone("app")]
        events += [PeerGone("head"), Struck(99, 1), Ended(99, [1], 1.0, True)]
        event = self.rng.choice(events)
        self.room.handle(event)

    def reopen(self) -> None:
        desk, dice = self.desk(), self.rng.random()
        if dice < 0.2:
            self.births += 1
            self.meet(desk.name, f"{desk.name}-{self.births}")
        elif dice < 0.5:
            desk.hello.opening += self.rng.choice([-1, 0, 1])
            desk.open()

    def struck(self) -> None:
        """The service answers strikes, sometimes late."""
        room = self.room
        strikes = [action for action in room.done if isinstance(action, Strike)]
        room.done.clear()
        for strike in strikes:
            start = room.running.get(strike.slot)
            if start is not None and self.rng.random() < 0.7:
                left = len(start.ids) - room.ended.get(strike.slot, 0)
                count = self.rng.randint(0, left - 1)
                room.handle(Struck(strike.slot, count))
                # The service cuts its own list as well.
                room.running[strike.slot] = cut(start, count)

    def settle(self) -> None:
        """The bus is up, gates are open, and all that runs ends."""
        room = self.room
        room.handle(BusUp())
        room.handle(Gauged(0.0, 1000))
        for _ in range(SETTLE_MAX):
            while room.running:
                room.end(min(room.running))
            # What waits behind a claim without an answer starts when the claim is void.
            room.wait(2 * CLAIM_LIMIT_S)
            if not room.running:
                break


def cut(start: Start, count: int) -> Start:
    """The start without its last `count` tasks."""
    keep = len(start.ids) - count
    return Start(
        start.slot, start.scheduler, start.job, start.shape, start.terms, start.term,
        start.ids[:keep], start.ns[:keep], start.time_limit_s,
    )  # fmt: skip


@pytest.mark.parametrize("block", range(10))
def test_laws_hold_whatever_schedulers_say(block: int) -> None:
    for seed in range(block * 20, block * 20 + 20):
        walk = Walk(seed)
        for _ in range(STEPS):
            walk.step()
            walk.struck()
            kills = [action for action in walk.room.done if isinstance(action, Kill)]
            assert all(kill.slot in walk.room.running for kill in kills)
        walk.settle()
        started = Counter(
            (start.scheduler, start.job, start.term, task)
            for start in walk.room.started
            for task in start.ids
        )
        assert max(started.values(), default=0) <= 1, f"seed {seed}: an attempt ran twice"
        told = Counter[tuple[str, int, int]]()
        for desk in walk.room.desks.values():
            batches = {batch.batch: batch for batch in desk.all(m.Finished)}
            for batch in batches.values():
                told.update((desk.name, batch.job, task) for task in batch.ids)
        for key in walk.granted:
            if key[0] != "app":
                assert told[key] == 1, f"seed {seed}: {key} was told {told[key]} times"
        status = walk.room.core.explain()
        assert status["busy"] == status["aside"] == 0, f"seed {seed}: {status}"
