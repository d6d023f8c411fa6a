"""`covey doctor`: logs in as `up` would, looks around, and leaves nothing behind."""

import secrets
import shlex
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from covey.errors import ConnectFailed, MachineError
from covey.fleet.contact import Contact, log_in
from covey.fleet.fanout import fan_out
from covey.fleet.findings import Facts, Finding, findings
from covey.fleet.host import Host
from covey.fleet.probe import PYTHONS
from covey.fleet.ssh import Connection, Ssh, script

#: Longest time that looking around on a machine takes.
EXAMINE_MAX_S = 60.0
#: Stands before what we asked for; all before it is noise of start-up files.
MARK = "=covey-doctor="

#: Asks a machine about itself with nothing but sh. Arguments: a mark that goes into the home, the
#: Pythons to try.
EXAMINE = f"""
examine() {{
LC_ALL=C; export LC_ALL
echo; echo '{MARK}'
say() {{ printf '%s=%s\\n' "$1" "$2"; }}
say now "$(date +%s)"
say uid "$(id -u)"; say user "$(id -un)"; say home "$HOME"
mark=$1; shift
for python in "$@"; do
    found=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) &&
        say python "$python $found"
done
for place in "$HOME" "${{TMPDIR:-/tmp}}"; do
    set -- $(df -Pk "$place" 2>/dev/null | tail -n 1)
    say disk "$4 $place"
done
say fs "$(stat -f -c %T "$HOME" 2>/dev/null)"
refused=$( (: >"$HOME/$mark") 2>&1 ) || say refused "$refused"
if [ -d /run/systemd/system ]; then
    if [ -e "/var/lib/systemd/linger/$(id -un)" ]; then say linger yes; else say linger no; fi
else
    say linger none
fi
startups=$( (sshd -T || /usr/sbin/sshd -T) 2>/dev/null | grep -i '^maxstartups ')
[ -n "$startups" ] || startups=$(
    cat /etc/ssh/sshd_config.d/*.conf /etc/ssh/sshd_config 2>/dev/null |
    grep -i '^ *maxstartups ' | head -n 1)
say maxstartups "${{startups##* }}"
say directory "$(mktemp -d 2>/dev/null)"
}}
examine "$@" </dev/null
"""


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was found on one machine."""

    name: str
    login: str
    findings: tuple[Finding, ...]

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.state != "wrong" for finding in self.findings)


def examine(
    ssh: Ssh, hosts: Sequence[Host], *, contact: Contact | None, accept_new: bool = False
) -> list[Checkup]:
    """Look at machines, all at once; one that cannot be reached has one finding: why.

    The connections are made for this, as `up` makes them, and closed.
    """
    token = secrets.token_hex(6)

    def look(host: Host) -> "_Visit":
        visit = _Visit(ssh.connection(host), f".covey-doctor-{token}.{host.name}")
        visit.begin(contact, accept_new=accept_new)
        return visit

    visits = fan_out(hosts, look, address_of=lambda host: (host.address, host.port))
    inside = [visit for visit in visits if isinstance(visit, _Visit)]
    if len(inside) > 1:
        fan_out(inside, lambda visit: visit.find_others(token), address_of=_own)
    fan_out(inside, _Visit.leave, address_of=_own)
    return [
        Checkup(host.name, host.login, _findings_of(visit))
        for host, visit in zip(hosts, visits, strict=True)
    ]


def _own(visit: "_Visit") -> str:
    # They are logged in already: no sshd minds how many.
    return visit.facts.name


def _findings_of(visit: "_Visit | MachineError") -> tuple[Finding, ...]:
    if isinstance(visit, _Visit):
        logged_in = Finding("ssh", "ok", f"logged in within {visit.login_s:.1f} s")
        return (logged_in, *findings(visit.facts))
    data = visit.data
    reason, remedy = data.get("reason") or str(visit), data.get("remedy") or ""
    kind = str(data.get("kind") or "ssh")
    check = "host-key" if "host-key" in kind else "ssh"
    return (Finding(check, "wrong", str(reason), str(remedy)),)


class _Visit:
    """One machine while it is looked at."""

    def __init__(self, connection: Connection, mark: str) -> None:
        self.connection = connection
        self.login_s = 0.0
        self.facts = Facts(connection.host.name, {}, "", 0.0)
        self._mark = mark

    def begin(self, contact: Contact | None, *, accept_new: bool) -> None:
        host, began = self.connection.host, time.monotonic()
        log_in(self.connection, contact, accept_new=accept_new)
        self.login_s = time.monotonic() - began
        pythons = (host.python,) if host.python else PYTHONS
        asked = time.time()
        line = " ".join(shlex.quote(word) for word in ("sh", "-s", "--", self._mark, *pythons))
        done = self.connection.run(line, stdin=EXAMINE.encode(), timeout_s=EXAMINE_MAX_S)
        answered = time.time()
        text = done.out.decode(errors="replace")
        noise, _, told = text.partition(f"\n{MARK}\n")
        said: dict[str, list[str]] = {}
        for row in told.splitlines():
            key, is_row, value = row.partition("=")
            if is_row:
                said.setdefault(key, []).append(value)
        now = "".join(said.get("now", ("",)))
        # It says whole seconds.
        skew_s = float(now) + 0.5 - (asked + answered) / 2 if now.isdigit() else 0.0
        self.facts = Facts(
            host.name,
            said,
            noise,
            skew_s,
            closed=self.connection.closed_count,
            wanted_python=host.python,
        )
        self._try_forwarding()

    def _try_forwarding(self) -> None:
        directory = self.facts.one("directory")
        with socket.create_server(("127.0.0.1", 0)) as here:
            port = here.getsockname()[1]
            socket_refused = port_refused = ""
            try:
                if not directory:
                    raise ConnectFailed("no directory for a socket", reason="no directory")
                self.connection.forward_socket(f"{directory}/bus.sock", port)
            except ConnectFailed as error:
                socket_refused = str(error.data["reason"])
                try:
                    self.connection.forward_port(port)
                except ConnectFailed as again:
                    port_refused = str(again.data["reason"])
        self.facts = replace(self.facts, socket_refused=socket_refused, port_refused=port_refused)

    def find_others(self, token: str) -> None:
        """See whose marks lie in this home."""
        pattern = f".covey-doctor-{token}."
        text = f'cd && for mark in {pattern}*; do printf "%s\\n" "$mark"; done'
        done = self.connection.run(script(text), timeout_s=EXAMINE_MAX_S)
        names = [
            line.rpartition(pattern)[2]
            for line in done.out.decode(errors="replace").splitlines()
            if line.startswith(pattern) and not line.endswith("*")
        ]
        others = tuple(sorted(set(names) - {self.facts.name}))
        self.facts = replace(self.facts, same_home=others)

    def leave(self) -> None:
        """Remove what was made there, and the connection."""
        directory = self.facts.one("directory")
        text = f'rm -f "$HOME"/{self._mark}'
        if directory.startswith("/"):
            text += f"; rm -f {shlex.quote(directory)}/bus.sock; rmdir {shlex.quote(directory)}"
        try:
            self.connection.run(script(text), timeout_s=EXAMINE_MAX_S)
        finally:
            self.connection.close()
