"""Connects to the bus of a cluster, where its address says."""

from covey.bus.nats import NatsBus
from covey.client.address import BusAddress


async def connect(address: BusAddress, name: str) -> NatsBus:
    """A connection under `name`, which the server's own tools show.

    Raises:
        BusUnavailable: nobody answers there, or not to us.
    """
    return await NatsBus.connect(
        address.url,
        user=address.user,
        password=address.password,
        name=name,
        is_ours=address.is_ours,
        ca=address.ca,
    )
