#!/usr/bin/env bash
# Runs the browser's tests in Chromium: $CHROMIUM, or the one that is installed; on Debian as root it is installed where missing.
set -euo pipefail
cd "$(dirname "$0")/../.."
find_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; }
if [ -z "${CHROMIUM:-}" ] && ! find_chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq >/dev/null && apt-get install -qq -y --no-install-recommends chromium >/dev/null
fi
CHROMIUM=${CHROMIUM:-$(find_chromium || true)}
if [ -z "$CHROMIUM" ]; then
  echo "test:browser: no Chromium, expected one as chromium or in \$CHROMIUM. Install it and run this again." >&2
  exit 1
fi
export CHROMIUM
exec npx vitest run --config vitest.browser.config.ts --reporter=default --reporter=json \
  --outputFile.json=.vitest/browser.json
