#!/bin/sh
# Installs the pinned compiler of the BPF object, and the formatter of its
# source: Debian 12 has them, as 1:19.1.7-3~deb12u1. Needs root and apt-get.
set -eu
exec "$(dirname "$0")/install-packages.sh" clang-19 llvm-19 clang-format-19
