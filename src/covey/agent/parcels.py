"""The bytes that pass through an agent unread: payloads down, reports up, contexts, large blobs."""

from pathlib import Path

from covey.core.actions import DropPayloads, DropReports, ForgetJob, Start
from covey.core.events import Ended
from covey.files.blobs import BlobStore
from covey.files.transfer import digest_of
from covey.model.reference import is_reference, make_reference, read_reference
from covey.model.task import OutcomeState
from covey.settings import INLINE_MAX_BYTES
from covey.wire.codec import cut
from covey.wire.messages import Chunk, Finished, Grant

#: Contexts (functions, command templates with their environment) kept in memory.
CONTEXTS_MAX = 256

_Key = tuple[str, int, int]


class Parcels:
    """Everything by (scheduler, job, term) and task number; large reports as blobs on disk.

    Args:
        blobs_dir: a directory of this process alone, removed with it.
    """

    def __init__(self, blobs_dir: Path) -> None:
        self._payloads: dict[_Key, dict[int, bytes]] = {}
        self._reports: dict[_Key, dict[int, bytes]] = {}
        self._contexts: dict[str, bytes] = {}
        self._blobs = BlobStore(blobs_dir)
        self._batch_blobs: dict[tuple[str, int], list[str]] = {}

    # ------------------------------------------------------------ down

    def granted(self, scheduler: str, grant: Grant) -> None:
        """Keep the payloads of a grant; its body is empty afterwards."""
        held = self._payloads.setdefault((scheduler, grant.job, grant.term), {})
        held.update(zip(grant.ids, cut(grant.body, grant.lens), strict=True))
        grant.body = b""

    def payloads_of(self, start: Start) -> list[bytes]:
        """Payloads of a chunk, in its order."""
        held = self._payloads.get((start.scheduler, start.job, start.term), {})
        return [held.get(task, b"") for task in start.ids]

    def drop_payloads(self, action: DropPayloads) -> None:
        """These tasks will not run here (again)."""
        held = self._payloads.get((action.scheduler, action.job, action.term), {})
        for task in action.ids:
            held.pop(task, None)

    def context(self, digest: str) -> bytes | None:
        """The context of this digest, if it is here."""
        return self._contexts.get(digest)

    def keep_context(self, digest: str, data: bytes) -> None:
        """Keep a context whose digest has been checked."""
        self._contexts.pop(digest, None)
        while len(self._contexts) >= CONTEXTS_MAX:
            self._contexts.pop(next(iter(self._contexts)))
        self._contexts[digest] = data

    def offered(self, chunk: Chunk) -> None:
        """Keep a small context that came unasked, if it is what its digest says."""
        if chunk.size == len(chunk.body) and digest_of(chunk.body) == chunk.digest:
            self.keep_context(chunk.digest, chunk.body)

    # ------------------------------------------------------------ up

    def ended(self, start: Start, ended: Ended, ids: list[int], reports: list[bytes]) -> None:
        """Keep the reports of tasks that ended, until they leave with their batch."""
        kept = self._reports.setdefault((start.scheduler, start.job, start.term), {})
        for task, report, state in zip(ids, reports, ended.states, strict=True):
            if state != OutcomeState.RETURNED:
                kept[task] = report if len(report) <= INLINE_MAX_BYTES else self._set_aside(report)

    def fill(self, scheduler: str, message: Finished) -> None:
        """Put the reports of its tasks into a batch that leaves for the first time."""
        kept = self._reports.get((scheduler, message.job, message.term), {})
        pieces = [kept.pop(task, b"") for task in message.ids]
        blobs = [read_reference(piece)[0] for piece in pieces if is_reference(piece)]
        if blobs:
            self._batch_blobs[scheduler, message.batch] = blobs
        message.lens = [len(piece) for piece in pieces]
        message.body = b"".join(pieces)

    def is_theirs(self, scheduler: str, digest: str) -> bool:
        """Whether the blob is a report of a task of that scheduler."""
        return any(
            digest in digests
            for (whose, _), digests in self._batch_blobs.items()
            if whose == scheduler
        )

    def read_blob(self, digest: str, offset: int, length: int) -> tuple[int, bytes] | None:
        """(size of the blob, a piece of it), or None."""
        return self._blobs.read_piece(digest, offset, length)

    def drop_batch(self, action: DropReports) -> None:
        """The batch is recorded: its blobs go."""
        for digest in self._batch_blobs.pop((action.scheduler, action.batch), ()):
            if not any(digest in others for others in self._batch_blobs.values()):
                self._blobs.remove(digest)

    def forget(self, action: ForgetJob) -> None:
        """Nothing of this job is needed here."""
        for table in (self._payloads, self._reports):
            mine = [key for key in table if key[:2] == (action.scheduler, action.job)]
            for key in mine:
                del table[key]

    def _set_aside(self, report: bytes) -> bytes:
        return make_reference(self._blobs.put(report), len(report))
