"""Every exception that covey raises.

    CoveyError
    ├─ ConfigError                         the user's input is wrong: never retried
    │   ├─ SettingsError (ValueError)      .key .value
    │   ├─ InventoryError (ValueError)     .problems: all of them, each with its place
    │   └─ UsageError (ValueError)
    ├─ MachineError                        .machine
    │   ├─ ConnectFailed (ConnectionError) .kind .reason .remedy
    │   ├─ CommandFailed                   .command .code .tail
    │   └─ BootstrapFailed                 .step .remedy
    ├─ FleetError                          .results: machine -> value or MachineError
    ├─ BusError
    │   ├─ BusUnavailable (ConnectionError)
    │   ├─ ServerMissing                   no nats-server binary on this platform
    │   ├─ RequestTimeout (TimeoutError)   .what .timeout_s
    │   ├─ PayloadTooLarge                 .size_bytes .max_bytes
    │   └─ ProtocolError                   the other side broke the rules
    │       ├─ DecodeError
    │       ├─ Forged                      a message authentication code that does not match
    │       ├─ Stale                       rightly signed once, now late or said again
    │       └─ VersionMismatch             .ours .theirs
    ├─ ClusterError
    │   ├─ AlreadyUp                       .cluster
    │   ├─ NotUp                           .cluster
    │   ├─ StartFailed                     .what .reason
    │   ├─ SchedulerLost                   a shared scheduler died with calls in flight
    │   └─ StateInUse                      .path .owner
    ├─ LedgerError                         .path
    │   ├─ LedgerCorrupt                   .kept_as
    │   ├─ LedgerVersion                   .found .ours
    │   └─ DiskFull (OSError)
    ├─ JobError                            .job
    │   ├─ JobNotFound (LookupError)
    │   ├─ JobRejected                     .reason
    │   └─ JobCancelled
    ├─ TaskError                           .job .task
    │   ├─ TaskFailed                      user code raised something that cannot travel
    │   ├─ TaskTimeout (TimeoutError)      .limit_s
    │   ├─ TaskCrashed                     .how
    │   ├─ TaskLost
    │   ├─ ResultTooLarge                  .size_bytes .max_bytes
    │   └─ Unpicklable (TypeError)         .what
    ├─ FileError                           .path
    │   ├─ ChecksumMismatch                .expected .actual
    │   └─ BlobMissing (LookupError)       .digest
    └─ InternalError                       a bug in covey
        └─ InvalidTransition               .state .event

Family names end in Error; a leaf says what happened. The first sentence of a leaf's docstring is
its default message, the second says what to do. Data is in attributes (keywords at construction).
"""

from typing import Any, ClassVar


class CoveyError(Exception):
    """Something went wrong in covey."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", **data: Any) -> None:
        self.message = message or (type(self).__doc__ or "").split("\n\n")[0].replace("\n    ", " ")
        self.data = data
        super().__init__(self.message)
        for key, value in data.items():
            setattr(self, key, value)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.data)


def _rebuild(kind: type[CoveyError], message: str, data: dict[str, Any]) -> CoveyError:
    return kind(message, **data)


class ConfigError(CoveyError):
    """The input is wrong."""


class SettingsError(ConfigError, ValueError):
    """A setting has a value that covey cannot use."""


class InventoryError(ConfigError, ValueError):
    """A list of machines cannot be read. See each line with: covey hosts check."""


class UsageError(ConfigError, ValueError):
    """The command line is wrong."""


class MachineError(CoveyError):
    """Something did not work on one machine."""


class ConnectFailed(MachineError, ConnectionError):
    """A machine cannot be reached by ssh. See why with: covey doctor MACHINE."""

    retryable = True


class CommandFailed(MachineError):
    """A command failed on a machine."""


class BootstrapFailed(MachineError):
    """An agent could not be brought onto a machine. See why with: covey doctor MACHINE."""


class FleetError(CoveyError):
    """Something did not work on some machines. What worked is in `results`."""


class BusError(CoveyError):
    """The bus failed."""


class BusUnavailable(BusError, ConnectionError):
    """The bus does not answer. Check the address, or start the cluster with: covey up."""

    retryable = True


class ServerMissing(BusError):
    """There is no nats-server for this platform. Set COVEY_NATS_URL or give --nats-server PATH."""


class RequestTimeout(BusError, TimeoutError):
    """The other side did not answer in time."""

    retryable = True


class PayloadTooLarge(BusError):
    """A message is larger than the bus takes."""


class ProtocolError(BusError):
    """The other side broke the rules of the protocol."""


class DecodeError(ProtocolError):
    """A message could not be read."""


class Forged(ProtocolError):
    """A message carries a wrong signature and was not obeyed."""


class Stale(ProtocolError):
    """A message of an earlier term, or of no session of ours, was not obeyed."""


class VersionMismatch(ProtocolError):
    """The other side speaks another version of the protocol."""


class ClusterError(CoveyError):
    """The cluster is not as needed."""


class AlreadyUp(ClusterError):
    """The cluster is up already. See it with: covey status."""


class NotUp(ClusterError):
    """The cluster is not up. Start it with: covey up."""


class StartFailed(ClusterError):
    """A part of covey did not start."""


class SchedulerLost(ClusterError):
    """The scheduler that held the task is gone. Start one with: covey scheduler --name NAME."""

    retryable = True


class StateInUse(ClusterError):
    """The state directory is in use by another host or process."""


class LedgerError(CoveyError):
    """The ledger cannot be used."""


class LedgerCorrupt(LedgerError):
    """The ledger file is damaged. It was kept aside and a new one begun."""


class LedgerVersion(LedgerError):
    """The ledger was written by a newer covey. Use that covey, or another --cluster."""


class DiskFull(LedgerError, OSError):
    """The disk of the state directory is full. Free space there, or set COVEY_HOME elsewhere."""


class JobError(CoveyError):
    """Something is wrong with a job."""


class JobNotFound(JobError, LookupError):
    """There is no such job. List them with: covey jobs."""


class JobRejected(JobError):
    """The job was refused."""


class JobCancelled(JobError):
    """The job was cancelled."""


class TaskError(CoveyError):
    """A task did not succeed."""


class TaskFailed(TaskError):
    """The task raised an exception that could not be sent back whole."""


class TaskTimeout(TaskError, TimeoutError):
    """The task ran longer than its time limit and was killed."""


class TaskCrashed(TaskError):
    """The process that ran the task died."""


class TaskLost(TaskError):
    """The task was lost with its machine too often."""


class ResultTooLarge(TaskError):
    """The result is larger than covey carries. Write it to a file and return its path."""


class Unpicklable(TaskError, TypeError):
    """An object cannot be sent to another process."""


class FileError(CoveyError):
    """A file is not as it should be."""


class ChecksumMismatch(FileError):
    """The bytes do not match their digest."""


class BlobMissing(FileError, LookupError):
    """No bytes are known under this digest."""


class InternalError(CoveyError):
    """A bug in covey. Please report it with this text."""


class InvalidTransition(InternalError):
    """A state machine met an event that it has no transition for."""
