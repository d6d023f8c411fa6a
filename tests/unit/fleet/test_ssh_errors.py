"""What OpenSSH was recorded to say, and what is made of it."""

import pytest

from covey.fleet.host import Host
from covey.fleet.ssh_errors import Target, diagnose, failed, needs_key, no_answer

LAB = Target("lab3", "lab3", {"hostname": "10.0.0.3", "port": "2222"})

#: stderr of OpenSSH 9.2 (where not said otherwise) -> kind, part of the reason, part of the remedy.
RECORDED = [
    (
        "@@@@@@@@\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n@@@@@@@@\r\n"
        "Offending ED25519 key in /home/u/.ssh/known_hosts:1\r\n"
        "Host key for [10.0.0.3]:2222 has changed and you have requested strict checking.\r\n"
        "Host key verification failed.\r\n",
        "host-key-changed",
        "host key changed",
        "ssh-keygen -R '[10.0.0.3]:2222'",
    ),
    (
        # Debian's ssh says the command itself.
        "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\r\n  remove with:\r\n"
        '  ssh-keygen -f "/home/u/.ssh/known_hosts" -R "lab3"\r\nHost key verification failed.\r\n',
        "host-key-changed",
        "host key changed",
        'ssh-keygen -f "/home/u/.ssh/known_hosts" -R "lab3" (else',
    ),
    ("Host key verification failed.\r\n", "unknown-host-key", "not known here", "covey up lab3"),
    (
        "No ED25519 host key is known for lab3 and you have requested strict checking.\r\n"
        "Host key verification failed.\r\n",
        "unknown-host-key",
        "not known here",
        "--accept-new-host-keys",
    ),
    ("u@lab3: Permission denied (publickey).\r\n", "denied", "(publickey)", "authorized_keys"),
    (
        "u@lab3: Permission denied (publickey,password).\r\n",
        "denied",
        "(publickey,password)",
        "covey up --ask-password lab3",
    ),
    (
        "u@lab3: Permission denied (publickey,keyboard-interactive).\r\n",
        "denied",
        "keyboard-interactive",
        "--ask-password",
    ),
    (
        "@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\r\n"
        "Permissions 0644 for '/home/u/.ssh/id_ed25519' are too open.\r\n"
        "u@lab3: Permission denied (publickey).\r\n",
        "denied",
        "may be read by others",
        "chmod 600 /home/u/.ssh/id_ed25519",
    ),
    (
        "Received disconnect from 10.0.0.3 port 22:2: Too many authentication failures\r\n",
        "denied",
        "too many keys",
        "IdentitiesOnly",
    ),
    (
        "ssh: Could not resolve hostname lab3: Name or service not known\r\n",
        "unresolved",
        "no machine is called lab3",
        "~/.ssh/config",
    ),
    (
        "ssh: connect to host 10.0.0.3 port 2222: Connection refused\r\n",
        "refused",
        "no sshd on 10.0.0.3 port 2222",
        "lab3:PORT",
    ),
    (
        "ssh: connect to host 10.0.0.3 port 2222: No route to host\r\n",
        "unreachable",
        "no way to 10.0.0.3",
        "the network",
    ),
    (
        "ssh: connect to host 10.0.0.3 port 2222: Connection timed out\r\n",
        "timeout",
        "no answer from 10.0.0.3",
        "ssh lab3 true",
    ),
    ("Connection timed out during banner exchange\r\n", "timeout", "no answer", "hung"),
    ("Timeout, server lab3 not responding.\r\n", "timeout", "no answer", "hung"),
    (
        "kex_exchange_identification: read: Connection reset by peer\r\n"
        "Connection reset by 10.0.0.3 port 2222\r\n",
        "closed",
        "closed the connection",
        "MaxStartups",
    ),
    # OpenSSH 7
    (
        "ssh_exchange_identification: Connection closed by remote host\r\n",
        "closed",
        "closed the connection",
        "covey doctor lab3",
    ),
    (
        "mux_client_forward: forwarding request failed: remote port forwarding failed for listen"
        " path /run/x/bus-1.sock\r\nmuxclient: master forward request failed\r\n",
        "forwarding-forbidden",
        "refuses to forward",
        "AllowStreamLocalForwarding yes",
    ),
    (
        "mux_client_request_session: session request failed: Session open refused by peer\r\n",
        "sessions",
        "no more sessions",
        "MaxSessions",
    ),
    (
        "/home/u/.ssh/config: line 3: Bad configuration option: hots\r\n"
        "/home/u/.ssh/config: terminating, 1 bad configuration options\r\n",
        "bad-config",
        "hots",
        "ssh lab3 true",
    ),
    (
        "Unable to negotiate with 10.0.0.3 port 22: no matching host key type found. Their offer:"
        " ssh-rsa\r\n",
        "no-common-algorithm",
        "no common host key type",
        "~/.ssh/config",
    ),
]


@pytest.mark.parametrize(("said", "kind", "reason", "remedy"), RECORDED, ids=lambda x: str(x)[:30])
def test_what_ssh_says_is_told_as_a_reason_and_a_remedy(
    said: str, kind: str, reason: str, remedy: str
):
    trouble = diagnose(said, LAB)
    assert trouble.kind == kind
    assert reason in trouble.reason
    assert remedy in trouble.remedy


def test_what_nobody_knows_is_passed_on_as_it_was_said():
    trouble = diagnose("debug\r\nthe moon is in the way\r\n", LAB)
    assert (trouble.kind, trouble.reason) == ("failed", "ssh says: the moon is in the way")


def test_silence_is_said_to_be_silence():
    assert diagnose("\r\n", LAB).reason == "ssh failed without a word"


def test_a_machine_cannot_move_the_cursor_with_what_it_says():
    trouble = diagnose("\x1b[2J\x1b]0;owned\x07evil" + "x" * 1000, LAB)
    assert trouble.reason.isprintable()
    assert len(trouble.reason) < 300


def test_a_group_that_ssh_prints_is_never_a_format_of_ours():
    assert "{0}" in diagnose("ssh: Could not resolve hostname {0}: no\r\n", LAB).reason


def test_the_error_names_machine_reason_and_remedy_in_one_line():
    error = failed(Host("lab3", "10.0.0.3"), no_answer(LAB, 3.0))
    assert str(error).startswith("lab3: no answer from 10.0.0.3 port 2222 within 3 s — ")
    assert (error.data["machine"], error.data["kind"]) == ("lab3", "timeout")


def test_a_missing_key_asks_for_covey_up():
    trouble = needs_key(LAB, diagnose("Permission denied (publickey).", LAB), "the agent is gone")
    assert trouble.kind == "needs-key"
    assert trouble.remedy == "waiting for your key: covey up lab3"
