#!/usr/bin/env bash
# Sees to it that there is R with lme4: one that is installed, else Debian's where this user may
# install it.
set -euo pipefail
if command -v Rscript >/dev/null && Rscript -e 'library(lme4)' >/dev/null 2>&1; then exit 0; fi
if [ "$(id -u)" -eq 0 ]; then
  root=()
elif sudo -n true 2>/dev/null; then
  root=(sudo -n)
else
  echo "no R with lme4, and no right to install it; as root:" \
    "apt-get install r-base-core r-cran-lme4" >&2
  exit 0
fi
{
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -y --no-install-recommends r-base-core r-cran-lme4
} >/dev/null
