"""What nats-server is told."""

from pathlib import Path

import pytest

from covey.bus.config import ServerConfig, account_user, agent_user

GOLDEN = """\
# Written by covey at every start: changes are lost.
server_name: "covey-lab"
host: "127.0.0.1", port: -1
ports_file_dir: "/run/covey/lab"
log_file: "/run/covey/lab/nats-server.log"
logfile_size_limit: 4194304
logfile_max_num: 2
max_payload: 1048576
max_connections: 4096
max_subscriptions: 200000
max_control_line: 4KB
ping_interval: "5s"
ping_max: 2
write_deadline: "5s"
max_pending: 32MB
lame_duck_duration: "30s"
lame_duck_grace_period: "5s"
allow_non_tls: true
authorization {
  users: [
    {
      user: "account", password: "secret1"
      permissions {
        publish { allow: ["covey.lab.>"] }
        subscribe { allow: ["covey.lab.>"] }
      }
    }
    {
      user: "agent-pi1", password: "secret2"
      permissions {
        publish { allow: ["covey.lab.s.*.pi1"] }
        subscribe { allow: ["covey.lab.a.pi1.*"] }
      }
    }
  ]
}
"""


def _config(**changes: object) -> ServerConfig:
    users = (account_user("lab", "secret1"), agent_user("lab", "pi1", "secret2"))
    fields: dict[str, object] = {
        "cluster": "lab",
        "directory": Path("/run/covey/lab"),
        "users": users,
    }
    return ServerConfig(**(fields | changes))  # pyright: ignore[reportArgumentType]


def test_the_text_is_the_golden_one() -> None:
    assert _config().text() == GOLDEN


def test_jetstream_is_there_only_with_a_store_and_syncs_always() -> None:
    text = _config(store=Path("/disk/store")).text()
    assert 'jetstream {\n  store_dir: "/disk/store"\n  sync_interval: always\n}' in text
    assert "jetstream" not in GOLDEN


def test_only_loopback_is_listened_on_and_nobody_gets_in_without_a_password() -> None:
    assert "127.0.0.1" in GOLDEN
    for word in ("no_auth_user", "http", "websocket", "leafnodes", "0.0.0.0", "allow_responses"):
        assert word not in GOLDEN


def test_a_directory_with_quotes_is_quoted() -> None:
    text = _config(directory=Path('/home/a "b"/ü')).text()
    assert r'ports_file_dir: "/home/a \"b\"/ü"' in text


def test_a_directory_with_a_line_break_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot stand"):
        _config(directory=Path("/home/a\nlisten: 0.0.0.0")).text()


def test_a_password_is_not_shown_by_repr() -> None:
    assert "secret1" not in repr(_config())
