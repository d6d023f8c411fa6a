"""Who hands over the items of jobs that are still open for more, and whether he still lives.

A client that was killed, or that Ctrl-C ended, never says that there are no more items. Without
this its job would stay open for ever. What it handed over is run, and `covey show` says what
happened; a client that only stands still (Ctrl-Z, suspend) is waited for.
"""

import time

from covey.client.cluster import ProcessRecord
from covey.errors import JobNotFound, JobRejected
from covey.scheduler.durable import DurableJobs

#: A job whose client was not heard of since this head began is closed after this long.
UNHEARD_MAX_S = 30.0


class Feeding:
    """Closes jobs whose clients are dead: processes of this machine, or far ones, silent by now."""

    def __init__(self, jobs: DurableJobs) -> None:
        self._jobs = jobs
        self._feeders: dict[int, ProcessRecord] = {}
        #: job -> when a client on another machine was heard of.
        self._heard: dict[int, float] = {}
        #: job -> when (monotonic) it was first seen open, without anybody who feeds it.
        self._orphans: dict[int, float] = {}

    def heard(self, job: int, feeder: ProcessRecord) -> None:
        """`feeder` has more items for the job, or may have. Process 0: one on another machine."""
        if feeder.pid:
            self._feeders[job] = feeder
        else:
            self._heard[job] = time.monotonic()
        self._orphans.pop(job, None)

    def look(self) -> None:
        """Close the jobs that nobody feeds any more."""
        now = time.monotonic()
        open_jobs = self._jobs.unsealed
        for job in open_jobs:
            if self._is_abandoned(job, now):
                self._close(job)
        for known in (self._feeders, self._heard, self._orphans):
            for job in [job for job in known if job not in open_jobs]:
                del known[job]

    def _is_abandoned(self, job: int, now: float) -> bool:
        feeder = self._feeders.get(job)
        if feeder is not None:
            return not feeder.is_alive
        if job in self._heard:
            return now - self._heard[job] > UNHEARD_MAX_S
        return now - self._orphans.setdefault(job, now) > UNHEARD_MAX_S

    def _close(self, job: int) -> None:
        try:
            self._jobs.abandon(job)
        except (JobNotFound, JobRejected):
            # It ended, or was sealed, in this very moment.
            return
