#!/bin/sh
# The main job on real input: sha256 of every file of the Python standard library, on all cores.
# Usage: tools/demo.sh BIN OUTPUT_DIRECTORY
set -eu
bin=$1
out=$2
cd "$(dirname "$0")/.."
rm -rf "$out"
mkdir -p "$out"
# No new .pyc files may appear among the listed ones meanwhile.
export PYTHONDONTWRITEBYTECODE=1
# In byte order, so that the result can be compared with one made by hand.
"$bin/python" - >"$out/files" <<'PYTHON'
import os, sys, sysconfig
skipped = {"site-packages", "dist-packages"}
for directory, below, names in os.walk(sysconfig.get_paths()["stdlib"]):
    below[:] = sorted(set(below) - skipped)
    for name in sorted(names):
        path = os.path.join(directory, name)
        if os.path.isfile(path) and os.access(path, os.R_OK):
            sys.stdout.buffer.write(os.fsencode(path) + b"\0")
PYTHON
files=$(tr -cd '\0' <"$out/files" | wc -c | tr -d ' ')
sum=$(command -v sha256sum || echo "shasum -a 256")

echo "$files files of the Python standard library, one sha256sum each:"
echo "  covey map -0 -k --bar --joblog $out/joblog.tsv sha256sum {} :::: $out/files >$out/SHA256SUMS"
"$bin/covey" map -0 -k --bar --joblog "$out/joblog.tsv" $sum {} :::: "$out/files" >"$out/SHA256SUMS"

lines=$(wc -l <"$out/SHA256SUMS" | tr -d ' ')
tasks=$(($(wc -l <"$out/joblog.tsv" | tr -d ' ') - 1))
echo
"$bin/covey" show last
echo
echo "sums:   $out/SHA256SUMS  ($lines lines; try: sha256sum --check --quiet $out/SHA256SUMS)"
echo "joblog: $out/joblog.tsv  ($tasks tasks; also: $bin/covey joblog last)"
if [ "$lines" -ne "$files" ] || [ "$tasks" -ne "$files" ]; then
    echo "expected $files of each" >&2
    exit 1
fi
