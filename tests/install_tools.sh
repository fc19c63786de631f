#!/bin/sh
# Installs with apt what the tests start and cannot bring along: a second decoder, a browser, real
# targets and an initiator. Does nothing where all are there, and says what is missing where it may not.
set -eu

missing=""
need() { # need PACKAGE COMMAND...: the package unless one of the commands is there
  package=$1
  shift
  for command in "$@"; do
    if command -v "$command" >/dev/null 2>&1 || [ -x "/usr/sbin/$command" ]; then return 0; fi
  done
  missing="$missing $package"
}

need tshark tshark
need tgt tgtd
need libiscsi-bin iscsi-perf
need zstd zstd
need fio fio
need iproute2 ip tc
need ethtool ethtool
# The lab builds a small library that makes a device slow.
need "gcc libc6-dev" gcc
# Playwright brings its own Node.js, which wants this library of the system.
[ -n "$(find /lib /usr/lib -name 'libatomic.so.1' 2>/dev/null | head -n 1)" ] || missing="$missing libatomic1"
# Ubuntu's chromium package is a snap; there the browser comes from Playwright instead.
if [ "$(. /etc/os-release 2>/dev/null && echo "${ID:-}")" = ubuntu ]; then
  if ! command -v google-chrome >/dev/null 2>&1 && ! .venv/bin/python tests/browser/find_browser.py >/dev/null 2>&1; then
    .venv/bin/python -m playwright install --with-deps chromium
  fi
else
  need chromium chromium chromium-browser google-chrome
fi

[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
  else
    echo "The tests need:$missing. Install them as root: apt-get install$missing" >&2
    exit 1
  fi
fi
if ! command -v apt-get >/dev/null 2>&1; then
  echo "The tests need:$missing, and there is no apt-get to install them." >&2
  exit 1
fi
echo "Installing$missing ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# tshark asks whether others than root may record; the tests' answer is its default, no.
if ! { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
