#!/usr/bin/env bash
# Makes the virtual environment of the interoperability tests, or keeps it while its requirements are the same.
set -euo pipefail
cd "$(dirname "$0")/../.."
wanted=test/interop/requirements.txt
installed=.venv/requirements.txt
if ! cmp -s "$wanted" "$installed"; then
  rm -rf .venv
  python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check -r "$wanted"
  cp "$wanted" "$installed"
fi
