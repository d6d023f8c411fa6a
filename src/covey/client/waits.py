"""Says why calls wait that nobody who is there can take; nothing else would tell a program."""

import logging
from collections.abc import Iterable

from covey.core.explaining import waiting
from covey.core.jobs import Job
from covey.core.roster import Roster

log = logging.getLogger("covey.executor")


class Waits:
    """Looks at the calls of one program now and then, and logs each reason once while it lasts."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._told: set[str] = set()

    def look(self, jobs: Iterable[Job], roster: Roster, now: float) -> None:
        """Log what was stuck in the look before, too, and has not been told.

        now: monotonic seconds.
        """
        stuck = {
            one.why: one.tasks for job in jobs for one in waiting(job, roster, now) if one.is_stuck
        }
        lasting = self._seen & stuck.keys()
        for why in sorted(lasting - self._told):
            count = stuck[why]
            log.warning("%s: %s", "1 call waits" if count == 1 else f"{count:,} calls wait", why)
        self._seen, self._told = set(stuck), lasting
