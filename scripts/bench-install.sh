#!/bin/sh
# Installs the Debian packages with the programs that the benchmark compares
# hostnat with. Does nothing if they are there. Needs root and apt-get.
set -eu
exec "$(dirname "$0")/install-packages.sh" nftables haproxy
