#!/bin/sh
# All that can be found without running anything. Goes through everything, then
# fails if anything was wrong. What it cannot check it says.
set -u

failed=0
check() { # NAME COMMAND...
	name=$1
	shift
	if ! output=$("$@" 2>&1); then
		printf '%s:\n%s\n' "$name" "$output"
		failed=1
	fi
}

# The tagged files are part of the program too.
tags=e2e

check gofmt sh -c '! gofmt -l . | grep .' # gofmt itself does not fail
check 'go vet' go vet -tags $tags ./...
check 'go vet, arm64' env GOARCH=arm64 CGO_ENABLED=0 go vet -tags $tags ./...
check staticcheck go tool staticcheck -tags $tags ./...

formatter=clang-format-19
if command -v $formatter >/dev/null; then
	check $formatter $formatter --dry-run -Werror bpf/*.c bpf/*.h
else
	echo "skipped: the format of bpf/, as there is no $formatter (scripts/generate-install.sh gets it)"
fi

compiler=clang-19
if command -v $compiler >/dev/null; then
	# What knows no address family compiles with another one's addresses too.
	neutral=$(cd bpf && for header in *.h; do
		case $header in ip4_* | kernel.h) ;; *) printf '#include "%s"\n' "$header" ;; esac
	done)
	check 'neutral headers, IPv6' sh -c "printf '%s\n' '$neutral' | $compiler -target bpf -mcpu=v3 -O2 -Wall -Wextra -Werror \
		-Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Wno-unused-function -Wno-undefined-internal \
		-DFAMILY_IP6 -fsyntax-only -Ibpf -x c -"
else
	echo "skipped: compiling the neutral headers of bpf/ for IPv6, as there is no $compiler (scripts/generate-install.sh gets it)"
fi

if command -v shellcheck >/dev/null; then
	check shellcheck shellcheck .ci/run scripts/*.sh
else
	echo "skipped: shell scripts, as there is no shellcheck (apt-get install shellcheck)"
fi

# Not an error, but worth a hard look.
find . \( -name '*.go' -o -name '*.c' -o -name '*.h' \) -not -name '*_bpfel.go' -not -path './.git/*' -exec wc -l {} + |
	awk '$2 != "total" && $1 > 500 {print "warning: " $2 " has " $1 " lines; can it be two files?"}'

go test -count=1 ./dev/archtest || failed=1
exit $failed
