"""An agent, as whoever keeps the list of a cluster names it to a scheduler. Light to import."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """An agent that a scheduler is to work with."""

    #: Signs what is said to it.
    key: bytes
    #: Its link to the bus leads over a network.
    is_far: bool = False
    #: Of its machine: see `model.constraint`.
    labels: tuple[str, ...] = ()
    #: It finishes what it has and gets no more.
    is_draining: bool = False
