"""What a scheduler thinks of an agent: a word for `status`, decided in `core.roster`."""

from enum import StrEnum


class AgentState(StrEnum):
    """What a scheduler thinks of an agent."""

    #: Asked for a session; nothing is known of it yet.
    JOINING = "joining"
    #: In session.
    READY = "ready"
    #: Silent for UNREACHABLE_AFTER_S; it may come back.
    UNREACHABLE = "unreachable"
    #: Known dead, or unreachable for ORPHAN_AFTER_S.
    LOST = "lost"
    #: It said goodbye, was taken down, or speaks another protocol.
    LEFT = "left"
