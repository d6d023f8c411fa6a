#!/bin/sh
# Installs the Debian packages that some tests use as an oracle or a peer, when we are root and they are missing:
# GNU parallel, OpenSSH (client and server, as the machines of a fleet), ip (network namespaces),
# crontab and systemd-analyze (what --persist writes; neither is started), faketime (wrong clocks).
# Elsewhere those tests skip and say so (with CI=true they fail).
set -eu
missing=""
command -v parallel >/dev/null 2>&1 || missing="$missing parallel"
command -v ssh >/dev/null 2>&1 || missing="$missing openssh-client"
PATH="$PATH:/usr/sbin:/sbin" command -v sshd >/dev/null 2>&1 || missing="$missing openssh-server"
PATH="$PATH:/usr/sbin:/sbin" command -v ip >/dev/null 2>&1 || missing="$missing iproute2"
command -v crontab >/dev/null 2>&1 || missing="$missing cron"
command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd"
command -v faketime >/dev/null 2>&1 || missing="$missing faketime"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing Debian packages:$missing"
    # Runlevel 1: the ssh service that comes with the package is not started.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    # shellcheck disable=SC2086  # a list of words
    apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing >/dev/null; }
else
    echo "not installed:$missing (needs root and apt-get): tests that use them will be skipped"
fi
