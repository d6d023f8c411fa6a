"""Whether a job makes sense where it is to run, asked before anything is started."""

from typing import TYPE_CHECKING

from covey.client.address import AGENT
from covey.client.cluster import files_of
from covey.client.users import users_of_call, users_of_cluster
from covey.scheduler.admission import Admission, Machines
from covey.settings import Settings

if TYPE_CHECKING:
    from covey.client.feed import Place


def admission_here() -> Admission:
    """For what runs on this machine alone: it has no label, and no other can join."""
    return Admission(users_of_call, lambda: [(AGENT, ())], may_grow=False)


def admission_of_cluster(settings: Settings) -> Admission:
    """For the cluster that is up here."""
    files = files_of(settings)

    def machines() -> Machines:
        return [(machine.name, machine.labels) for machine in files.machines()]

    return Admission(lambda: users_of_cluster(settings.state_dir), machines)


def admission_of(place: "Place") -> Admission:
    """For an executor."""
    return admission_here() if place.is_private else admission_of_cluster(place.settings)
