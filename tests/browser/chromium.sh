#!/usr/bin/env bash
# Sees to it that there is a Chromium: one that is installed, else Debian's where this user may install it.
set -euo pipefail
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then exit 0; fi
done
if [ "$(id -u)" -eq 0 ]; then
  root=()
elif sudo -n true 2>/dev/null; then
  root=(sudo -n)
else
  echo "error: no Chromium, and no right to install one; as root: apt-get install chromium fonts-liberation" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
"${root[@]}" apt-get update -qq
"${root[@]}" apt-get install -qq -y --no-install-recommends chromium fonts-liberation
