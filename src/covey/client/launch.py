"""The beginning of a private run: its directory and its root process.

Apart from `private_job`, and light: the root starts while the caller still imports the rest.
"""

from dataclasses import dataclass

from covey.client.private import PrivateRoot
from covey.scheduler.folding import fold
from covey.scheduler.runs import RunDir
from covey.settings import Settings


@dataclass(frozen=True, slots=True)
class SlotCount:
    """How many tasks at once, and where the number comes from (for people)."""

    count: int
    source: str


class Launch:
    """A run that has its directory, its lock and its root process. Then `PrivateJob` goes on."""

    def __init__(self, settings: Settings, run: RunDir, slots: SlotCount) -> None:
        """Use `begin` or `take_up`."""
        self.settings = settings
        self.run = run
        self.slots = slots
        self.root = PrivateRoot(
            settings, slots=slots.count, slots_from=slots.source, run_lock_fd=run.lock_fd
        )
        try:
            self.root.start()
        except BaseException:
            self.abandon()
            raise

    @classmethod
    def begin(cls, settings: Settings, slots: SlotCount) -> "Launch":
        """A new run.

        Raises:
            CoveyError: its directory or its root process could not be made; nothing is left.
        """
        return cls(settings, RunDir.create(settings.state_dir), slots)

    @classmethod
    def take_up(cls, settings: Settings, slots: SlotCount, job: int) -> "Launch":
        """An interrupted run.

        Raises:
            JobNotFound: there is no such run.
            StateInUse: it is alive.
            StartFailed: its root process could not be made.
        """
        return cls(settings, RunDir.open(settings.state_dir, job), slots)

    def abandon(self) -> None:
        """Nothing comes of it."""
        self.root.close()
        self.run.close()
        fold(self.settings.state_dir)
