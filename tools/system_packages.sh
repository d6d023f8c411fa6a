#!/bin/sh
# Installs the Debian packages that some tests use as an oracle or a peer, when we are root and they are missing.
# Elsewhere those tests skip and say so (with CI=true they fail).
set -eu
missing=""
command -v parallel >/dev/null 2>&1 || missing="$missing parallel"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing Debian packages:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086  # a list of words
    apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing >/dev/null; }
else
    echo "not installed:$missing (needs root and apt-get): tests that compare with it will be skipped"
fi
