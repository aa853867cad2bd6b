#!/usr/bin/env bash
# Makes the virtual environment of the interoperability tests, or keeps it while its requirements are the same.
set -euo pipefail
cd "$(dirname "$0")/../.."
wanted=test/interop/requirements.txt
installed=.venv/requirements.txt
if cmp -s "$wanted" "$installed"; then exit 0; fi
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
  echo "interop:setup: no Python 3.10 or newer as python3, expected one: tests load results in transformers." \
    "Install Python and run this again." >&2
  exit 1
fi
rm -rf .venv
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r "$wanted"
cp "$wanted" "$installed"
