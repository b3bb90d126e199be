#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every SDK header compiles alone, as C11 and as C++17, without a warning.
set -u
src=${srcdir:-.}
work=$(mktemp -d "${TMPDIR:-/tmp}/agent-studio-headers.XXXXXX")
trap 'rm -rf "$work"' EXIT
warn="-Wall -Wextra -Wpedantic -Wshadow -Wwrite-strings -Wcast-qual
    -Wpointer-arith -Wformat=2 -Wvla -Werror -fsyntax-only"
n=0
failed=0

try() { # compiler, language, header
	printf '#include <agentstudio/%s>\nextern int as_nothing;\n' "$3" \
	    >"$work/t.$2"
	n=$((n + 1))
	# shellcheck disable=SC2086
	if $1 -I"$src/sdk/include" $warn "$work/t.$2" >"$work/log" 2>&1; then
		echo "ok $n - headers: $3 with $1"
	else
		failed=1
		echo "not ok $n - headers: $3 with $1"
		sed 's/^/# /' "$work/log"
	fi
}

for path in "$src"/sdk/include/agentstudio/*.h; do
	header=$(basename "$path")
	for cc in gcc clang; do
		command -v $cc >/dev/null || continue
		try "$cc -std=c11 -Wstrict-prototypes" c "$header"
	done
	for cxx in g++ clang++; do
		command -v $cxx >/dev/null || continue
		try "$cxx -std=c++17" cc "$header"
	done
done
echo "1..$n"
[ "$n" -gt 0 ] && exit $failed
echo "# no compiler was found" && exit 1
