#!/bin/sh
# Resolves requirements/*.in into lock files with a hash for every file of every platform, and without the
# address of any index. dev and bench are constrained by run, so all environments run covey on the same pins.
set -eu
bin=$1
cd "$(dirname "$0")/.."
for name in run dev bench; do
    echo "resolving requirements/$name.in"
    "$bin/pip-compile" --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
        --output-file "requirements/$name.txt" "requirements/$name.in"
done
