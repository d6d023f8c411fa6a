"""What ssh says when it fails, as a kind, a reason and a remedy. Pure: text in, sentences out.

OpenSSH has one exit code (255) for all of it, so its words are all there is; they have been stable
for decades. Whatever is not recognised is passed on as ssh's last line.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from covey.errors import ConnectFailed
from covey.fleet.host import Host

#: What we pass on of a line that ssh or a machine wrote is cut to this length.
LINE_MAX = 200
#: The kind of a trouble that no other try can help before somebody changes that sshd.
FORWARDING_FORBIDDEN = "forwarding-forbidden"
#: What may pass with time, so that trying again makes sense (sshd's MaxStartups, a boot).
PASSING = frozenset({"closed"})


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a machine cannot be reached. Kinds are words of ours; they are in `--json`."""

    kind: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Target:
    """Whom ssh was called for."""

    machine: str
    address: str
    #: What `ssh -G` says, if it was asked: `hostname`, `port`, `user`, …
    config: Mapping[str, str]


#: There is nothing to copy to a machine that lets us in by password.
NO_KEY = Trouble(
    "no-key", "you have no ssh key that could be copied there", "make one: ssh-keygen -t ed25519"
)

#: Kind, what ssh writes, reason, remedy. The first that is found counts. In the texts: {machine},
#: {address}, {host} and {port} as ssh resolves them, {forget} (the command that forgets the host
#: key), and the groups of the expression by number.
_TABLE: Sequence[tuple[str, str, str, str]] = (
    (
        "host-key-changed",
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .+ has changed",
        "host key changed",
        "if the machine was set up anew, run: {forget} (else somebody is in between)",
    ),
    (
        "host-key-changed",
        r"REVOKED HOST KEY DETECTED|Host key .* is revoked",
        "host key is revoked",
        "ask who runs the machine for its new key",
    ),
    (
        "unknown-host-key",
        r"Host key verification failed|host key is known for",
        "host key is not known here",
        "to see it and be asked, run on a terminal: covey up {machine} (without one:"
        " --accept-new-host-keys)",
    ),
    (
        "denied",
        r"UNPROTECTED PRIVATE KEY FILE[\s\S]*?Permissions \S+ for '([^']+)'",
        "your private key may be read by others, so ssh does not use it",
        "run: chmod 600 {1}",
    ),
    (
        "denied",
        r"Too many authentication failures",
        "too many keys were tried",
        "name the right one in ~/.ssh/config: Host {address} / IdentityFile … / IdentitiesOnly yes",
    ),
    (
        "denied",
        r"Permission denied \(([^)]*(?:password|keyboard-interactive)[^)]*)\)",
        "permission denied ({1})",
        "to log in by password once and copy your key there, run:"
        " covey up --ask-password {machine}",
    ),
    (
        "denied",
        r"Permission denied \(([^)]*)\)",
        "permission denied ({1})",
        "put your public key into ~/.ssh/authorized_keys there, or load the right one: ssh-add",
    ),
    (
        "unresolved",
        r"Could not resolve hostname (\S+?):",
        "no machine is called {1}",
        "check the name, or give it an address: Host {machine} / HostName … in ~/.ssh/config",
    ),
    (
        "refused",
        r"[Cc]onnection refused",
        "connection refused: no sshd on {host} port {port}",
        "start sshd there, or name its port: {address}:PORT",
    ),
    (
        "unreachable",
        r"No route to host|Network is unreachable|Host is down",
        "no way to {host}",
        "check that it is on, and the network between",
    ),
    (
        "timeout",
        r"timed out|Timeout, server|timeout waiting",
        "no answer from {host} port {port}",
        "check that it is on and not hung: ssh {address} true",
    ),
    (
        "no-common-algorithm",
        r"no matching ([\w ]+?) found",
        "no common {1} with its sshd",
        "allow what it offers for this machine in ~/.ssh/config",
    ),
    (
        "bad-config",
        r"(Bad configuration option: \S+|Bad owner or permissions on \S+"
        r"|terminating, \d+ bad configuration options|[^\n]*: (?:unknown|illegal) option[^\n]*)",
        "ssh refuses its configuration: {1}",
        "mend it, then try: ssh {address} true",
    ),
    (
        "sessions",
        r"Session open refused by peer",
        "its sshd takes no more sessions in one connection",
        "raise MaxSessions in its sshd_config",
    ),
    (
        FORWARDING_FORBIDDEN,
        r"forwarding (?:request )?failed|administratively prohibited",
        "its sshd refuses to forward",
        "set AllowTcpForwarding yes and AllowStreamLocalForwarding yes in its sshd_config",
    ),
    (
        "closed",
        r"kex_exchange_identification|ssh_exchange_identification|Connection closed"
        r"|Connection reset|Broken pipe|closed by remote host|Not allowed at this time",
        "its sshd closed the connection",
        "see its log (MaxStartups, DenyUsers, fail2ban): covey doctor {machine}",
    ),
)


def diagnose(text: str, target: Target) -> Trouble:
    """What the stderr of an ssh that failed means."""
    for kind, pattern, reason, remedy in _TABLE:
        if found := re.search(pattern, text):
            names = _names(text, target)
            groups = [_shown(group or "") for group in (found[0], *found.groups())]
            return Trouble(kind, reason.format(*groups, **names), remedy.format(*groups, **names))
    lines = [line for line in text.splitlines() if line.strip()]
    said = f"ssh says: {_shown(lines[-1])}" if lines else "ssh failed without a word"
    return Trouble("failed", said, f"try: ssh {target.address} true")


def no_answer(target: Target, timeout_s: float) -> Trouble:
    """We waited so long, and ssh neither failed nor was logged in."""
    names = _names("", target)
    return Trouble(
        "timeout",
        f"no answer from {names['host']} port {names['port']} within {timeout_s:g} s",
        f"check that it is not hung: ssh {target.address} true",
    )


def needs_key(target: Target, said: Trouble, why: str) -> Trouble:
    """Permission was denied for want of a key that its owner could give."""
    return Trouble(
        "needs-key",
        f"{said.reason}; {why}",
        f"waiting for your key: covey up {target.machine}",
    )


def failed(host: Host, trouble: Trouble) -> ConnectFailed:
    """The error that says so."""
    return ConnectFailed(
        f"{host.name}: {trouble.reason} — {trouble.remedy}",
        machine=host.name,
        kind=trouble.kind,
        reason=trouble.reason,
        remedy=trouble.remedy,
    )


def no_program(program: str, error: OSError) -> ConnectFailed:
    """The error for a program of OpenSSH that cannot be started."""
    reason = f"{program} cannot be started ({error.strerror})"
    remedy = "install the OpenSSH client: sudo apt install openssh-client"
    return ConnectFailed(
        f"{reason} — {remedy}", machine="", kind="no-ssh", reason=reason, remedy=remedy
    )


def _names(text: str, target: Target) -> dict[str, str]:
    host = target.config.get("hostname", target.address)
    port = target.config.get("port", "22")
    return {
        "machine": target.machine,
        "address": target.address,
        "host": host,
        "port": port,
        "forget": _forget(text, target, host, port),
    }


def _forget(text: str, target: Target, host: str, port: str) -> str:
    # Debian's ssh says the command itself.
    if found := re.search(r"^\s*(ssh-keygen .*-R .+?)\s*$", text, re.MULTILINE):
        return _shown(found[1])
    alias = target.config.get("hostkeyalias", "")
    known = host if port == "22" else f"[{host}]:{port}"
    return f"ssh-keygen -R {shlex.quote(alias if alias not in ('', 'none') else known)}"


def _shown(text: str) -> str:
    """As it may stand in a line: a machine must not move the cursor."""
    plain = "".join(c if c.isprintable() else "?" for c in text.strip())
    return plain if len(plain) <= LINE_MAX else plain[: LINE_MAX - 1] + "…"
