#!/bin/sh
# Installs the Debian package with the program that the benchmark configures
# hostnat's rival with. Does nothing if it is there. Needs root and apt-get.
set -eu
exec "$(dirname "$0")/install-packages.sh" nftables
