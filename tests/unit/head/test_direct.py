"""Where the bus listens in the direct mode, and where machines find it."""

import pytest

from covey.errors import SettingsError
from covey.head.direct import Listen, own_address_towards


def test_nothing_said_is_loopback_only() -> None:
    assert Listen.parse("") is None


@pytest.mark.parametrize(
    "address",
    ["nats://0.0.0.0:4222", "tls://0.0.0.0", "tls://:4222", "4222", "tls://a:x", "tls://[:1"],
)
def test_what_is_no_such_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(SettingsError, match=r"as in tls://0\.0\.0\.0:4222"):
        Listen.parse(address)


def test_an_address_is_handed_on_as_it_is() -> None:
    listen = Listen.parse("tls://10.1.2.3:4222")
    assert listen is not None
    assert listen.urls_for("lab1") == "tls://10.1.2.3:4222"
    assert "10.1.2.3" in listen.names()


def test_for_all_addresses_the_machine_gets_ours_on_the_way_to_it() -> None:
    listen = Listen.parse("tls://0.0.0.0:4222")
    assert listen is not None
    assert listen.urls_for("127.0.0.1").split(",")[0] == "tls://127.0.0.1:4222"


def test_a_name_that_only_ssh_knows_is_no_error() -> None:
    assert own_address_towards("no such host of mine") == ""
