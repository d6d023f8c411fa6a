#!/bin/sh
# Builds the wheel, installs it in a clean environment outside of the checkout, and works with it there.
# Usage: tools/wheel_test.sh BIN
set -eu
cd "$(dirname "$0")/.."
project=$PWD
bin=$PWD/$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM
unset PYTHONPATH || true

# From a copy: a build leaves build/ and egg-info behind.
mkdir "$scratch/tree"
cp -R pyproject.toml README.md LICENSE src "$scratch/tree/"
find "$scratch/tree" -name '*.egg-info' -prune -exec rm -rf {} +
"$bin/python" -m build --wheel --no-isolation --outdir "$scratch" "$scratch/tree" >"$scratch/build.log" 2>&1 ||
    { tail -n 20 "$scratch/build.log" >&2; exit 1; }
"$bin/python" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --require-hashes -r "$project/requirements/run.txt"
"$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$scratch"/covey-*.whl

cd "$scratch"
export COVEY_HOME="$scratch/state"
covey=$scratch/venv/bin/covey
"$covey" --version
printed=$("$covey" map -k echo 'item {}' ::: a b c)
[ "$printed" = "item a
item b
item c" ] || { echo "the wheel's covey map printed: $printed" >&2; exit 1; }
cat >script.py <<'PYTHON'
import covey

with covey.Executor(max_workers=2) as executor:
    print(sum(executor.map(lambda n: n * n, range(10))))
PYTHON
printed=$("$scratch/venv/bin/python" script.py)
[ "$printed" = 285 ] || { echo "the wheel's covey.Executor printed: $printed" >&2; exit 1; }
origin=$("$scratch/venv/bin/python" -c 'import covey; print(covey.__file__)')
case "$origin" in
"$scratch"/*) echo "the wheel works outside of the checkout" ;;
*) echo "covey was imported from $origin, not from the wheel" >&2; exit 1 ;;
esac
