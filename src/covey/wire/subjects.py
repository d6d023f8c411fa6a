"""The only place where a bus subject is spelled.

Two kinds of inbound subjects, one subscription each:

    covey.<cluster>.a.<agent>.<sender>       what agents receive
    covey.<cluster>.s.<scheduler>.<sender>   what schedulers, the head and clients receive

The last token names the sender, and the server's permissions let each identity publish under its
own name only. A message carries as reply-to nothing but its sender's own inbound subject with the
*receiver's* name as last token: when nobody listens, the server's 503 arrives there and so says
who is gone.
"""

from covey.model.ids import is_token

ROOT = "covey"


def _token(text: str) -> str:
    if not is_token(text):
        raise ValueError(f"{text!r} cannot stand in a subject")
    return text


def to_agent(cluster: str, agent: str, sender: str) -> str:
    """Where `sender` speaks to `agent`."""
    return f"{ROOT}.{_token(cluster)}.a.{_token(agent)}.{_token(sender)}"


def to_scheduler(cluster: str, scheduler: str, sender: str) -> str:
    """Where `sender` speaks to `scheduler`, to the head, or to a client."""
    return f"{ROOT}.{_token(cluster)}.s.{_token(scheduler)}.{_token(sender)}"


def inbox_of_agent(cluster: str, agent: str) -> str:
    """The one subscription of an agent."""
    return f"{ROOT}.{_token(cluster)}.a.{_token(agent)}.*"


def inbox_of_scheduler(cluster: str, scheduler: str) -> str:
    """The one subscription of a scheduler, of the head, of a client."""
    return f"{ROOT}.{_token(cluster)}.s.{_token(scheduler)}.*"


def sender_of(subject: str) -> str:
    """Who sent what arrived on `subject` (as the server's permissions enforce it)."""
    return subject.rsplit(".", 1)[1]


def permissions_of_agent(cluster: str, agent: str) -> dict[str, list[str]]:
    """Allow-lists of an agent's credential."""
    return {
        "publish": [f"{ROOT}.{_token(cluster)}.s.*.{_token(agent)}"],
        "subscribe": [inbox_of_agent(cluster, agent)],
    }


def permissions_of_head(cluster: str) -> dict[str, list[str]]:
    """Allow-lists of the credential in the state directory: the head and all clients of the
    account.
    """
    everything = f"{ROOT}.{_token(cluster)}.>"
    return {"publish": [everything], "subscribe": [everything]}
