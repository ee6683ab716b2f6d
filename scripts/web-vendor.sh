#!/bin/sh
# Makes internal/web/page/vendor again: the modules of others that the web page uses, in
# the versions and with the content named here; and e2e/testdata/axe, which looks in tests
# whether people with disabilities can use it. Needs npm, and nothing of it runs: the
# packages are only unpacked.
set -eu
cd "$(dirname "$0")/.."

to=$PWD/internal/web/page/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$to"

axe=$PWD/e2e/testdata/axe
mkdir -p "$axe"

# get NAME VERSION SHA512: unpacks a package below $work/NAME.
get() {
	file=$(cd "$work" && npm pack --silent --ignore-scripts "$1@$2")
	if [ "$(sha512sum <"$work/$file" | cut -d ' ' -f 1)" != "$3" ]; then
		echo "$1 $2 has another content than it had: do not use it" >&2
		exit 1
	fi
	mkdir "$work/$1"
	tar -xzf "$work/$file" -C "$work/$1" --strip-components 1
}

# module FILE NAME: without the comment that names a file which is not there.
module() { sed -e 's|^//# sourceMappingURL=.*$||' "$work/$1" >"$to/$2"; }

get preact 11.2.0 fc77c723fecdf387ba1ab581277276f34cf798b6912620dc4af8ff03ecbfe006cb9cd0ffd549461ded6c47aa18b931b021dd273fb76a0d4f4e9cbc4c3d9ef106
get htm 3.1.1 f7cdd5ca0f0dc1413b26467a3663aaa4267eb21d5b2afda2613954933956980e490f669c2a8c5de0a5716cc9b15fff399ad7dd9c399316834a720e43180bf135
get uplot 1.6.32 2883159c6ebccefbb95d751b0b82d010f9e1c0ec41b8bc96d401eda66e882935c89a46cb824332fa369b8cb8122cc6ac36e186cd09bf7a9ded3a4c93c6989023
get axe-core 4.14.1 1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5
module preact/dist/preact.mjs preact.js
module preact/hooks/dist/hooks.mjs hooks.js
sed -i 's|from"preact"|from"./preact.js"|g' "$to/hooks.js" # browsers know no other names without a script in the page
module htm/dist/htm.mjs htm.js
module uplot/dist/uPlot.iife.min.js uplot.js
printf '\nexport default uPlot;\n' >>"$to/uplot.js" # the minified file is no module
cp "$work/uplot/dist/uPlot.min.css" "$to/uplot.css"
cp "$work/axe-core/axe.min.js" "$work/axe-core/LICENSE" "$axe"
for name in preact htm uplot; do cp "$work/$name/LICENSE" "$to/LICENSE-$name"; done
chmod 644 "$to"/* "$axe"/*
(cd "$to" && sha256sum ./*.js ./*.css ./LICENSE-* >SHA256SUMS)
