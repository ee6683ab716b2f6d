#!/bin/sh
# Runs every fuzz test of the tree for a while, one after the other, since go
# test fuzzes one at a time.
#
# usage: scripts/fuzz.sh DURATION
set -eu

duration=${1:?usage: $0 DURATION}
grep -rho --include='*_test.go' -H '^func Fuzz[A-Za-z0-9_]*' . | sed 's/:func / /' | sort |
	while read -r file name; do
		echo "$name in ${file%/*}"
		go test -run '^$' -fuzz "^$name\$" -fuzztime "$duration" "${file%/*}" </dev/null
	done
