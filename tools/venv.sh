#!/bin/sh
# Makes or completes a virtual environment: tools/venv.sh DIRECTORY LOCKFILE
# Everything comes by hash from the lock file; covey itself is installed in place, without its dependencies.
# Says one sentence and ends with 1 where this machine lacks what it takes. Fast when there is nothing to do.
set -eu
directory=$1
lock=$2
cd "$(dirname "$0")/.."
stamp="$directory/.installed-$(basename "$lock" .txt)"
wanted=$(cat "$lock" pyproject.toml | cksum)

if [ -x "$directory/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] &&
    "$directory/bin/python" -c '' 2>/dev/null; then
    exit 0
fi

is_new_enough() {
    "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if is_new_enough "$name"; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

if ! { [ -x "$directory/bin/python" ] && is_new_enough "$directory/bin/python"; }; then
    if ! python=$(find_python); then
        found=$("${PYTHON:-python3}" --version 2>/dev/null || echo "no ${PYTHON:-python3}")
        echo "covey needs Python 3.11 or newer, and this machine has $found: install one, or name it with make PYTHON=/path/to/python3." >&2
        exit 1
    fi
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        echo "$python cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)." >&2
        exit 1
    fi
    echo "making $directory with $("$python" --version)"
    "$python" -m venv --clear "$directory"
fi

echo "installing what $lock names"
"$directory/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
# Metadata goes where covey is edited from: no build isolation, because that would fetch without hashes.
"$directory/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-build-isolation --no-deps --editable .
echo "$wanted" >"$stamp"
