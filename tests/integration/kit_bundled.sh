#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every plugin of the tree keeps the promises of the SDK.
set -u
src=${srcdir:-.} build=${builddir:-.}
n=0
failed=0
log=$(mktemp "${TMPDIR:-/tmp}/agent-studio-kit.XXXXXX")
trap 'rm -f "$log"' EXIT

for so in "$build"/plugins/*.so; do
	name=$(basename "$so" .so)
	n=$((n + 1))
	if "$build/agent-studio" plugin check "$so" \
	    --script "$src/plugins/$name/check.json" >"$log" 2>&1 &&
	    ! grep -q ': note: ' "$log"; then
		echo "ok $n - kit: $name: $(tail -n 1 "$log")"
	else
		failed=1
		echo "not ok $n - kit: $name"
		sed 's/^/# /' "$log"
	fi
done
echo "1..$n"
[ $n -gt 0 ] && exit $failed
exit 1
