"""Output of running tasks for those who follow it (`logs -f`, `--lb`)."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from covey.core.actions import FollowTask, ForgetJob, Start
from covey.model.phases import Stamps, stamped
from covey.wire.messages import Output

#: Followed tasks are looked at this often.
FOLLOW_EVERY_S = 0.1
#: Bytes sent per look, stream and task.
FOLLOW_MAX_BYTES = 64 * 1024

#: read_output(slot, task, stream, offset, length) -> bytes written since offset.
ReadOutput = Callable[[int, int, int, int, int], bytes]


@dataclass(slots=True)
class Running:
    """The chunk in a slot, and what of its output followers have had. since: when it was put there,
    or its last tasks ended.
    """

    start: Start
    since: float = 0.0
    #: task -> bytes of [stdout, stderr] sent.
    sent: dict[int, list[int]] = field(default_factory=dict[int, list[int]])

    def stamp(self, reports: list[bytes]) -> list[bytes]:
        """The reports of its next tasks, behind the times of a traced shape (`model.phases`)."""
        stamps = self.start.stamps
        if stamps is None:
            return reports
        now = time.monotonic()
        to_epoch = time.time() - now
        steps = tuple(at and at + to_epoch for at in (*stamps, self.since, now))
        self.since = now
        return [stamped(report, cast(Stamps, steps)) for report in reports]


class Followers:
    """Who follows what: (scheduler, job, task), task 0 = all tasks of the job."""

    def __init__(self, read_output: ReadOutput) -> None:
        self._read_output = read_output
        self._followed: set[tuple[str, int, int]] = set()
        #: Somebody follows: an idle agent does not wake for nobody.
        self.are_there = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._followed)

    def change(self, action: FollowTask) -> None:
        """Somebody begins or ends to follow."""
        key = (action.scheduler, action.job, action.id)
        (self._followed.add if action.on else self._followed.discard)(key)
        self._note()

    def forget(self, action: ForgetJob) -> None:
        """Nobody follows this job any more."""
        job = (action.scheduler, action.job)
        self._followed = {key for key in self._followed if key[:2] != job}
        self._note()

    def _note(self) -> None:
        (self.are_there.set if self._followed else self.are_there.clear)()

    def news(self, running: Running) -> list[Output]:
        """What the tasks of a chunk wrote since the last look, for those that are followed."""
        start = running.start
        if start.terms.kind != "command":
            return []
        found: list[Output] = []
        whole_job = (start.scheduler, start.job, 0) in self._followed
        for task, n in zip(start.ids, start.ns, strict=True):
            if not whole_job and (start.scheduler, start.job, task) not in self._followed:
                continue
            sent = running.sent.setdefault(task, [0, 0])
            for stream in (1, 2):
                offset = sent[stream - 1]
                data = self._read_output(start.slot, task, stream, offset, FOLLOW_MAX_BYTES)
                if data:
                    sent[stream - 1] += len(data)
                    found.append(Output(start.job, task, n, stream, offset, data))
        return found
