#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A plugin of each kind that was built with the headers of a release works in
# this host.
set -u
src=$(cd "${srcdir:-.}" && pwd) build=$(cd "${builddir:-.}" && pwd)
program=$build/agent-studio
work=$(mktemp -d "${TMPDIR:-/tmp}/agent-studio-frozen.XXXXXX")
trap 'rm -rf "$work"' EXIT
about=frozen logs=$work/log
. "$src/tests/integration/tap.sh"

for dir in "$src"/sdk/abi/*/; do
	version=$(basename "$dir")
	mkdir -p "$work/$version"
	for source in "$dir"plugins/*.c; do
		name=$(basename "$source" .c)
		so=$work/$version/$name.so
		# shellcheck disable=SC2086
		${CC:-cc} -std=c11 -O1 -g -Wall -Wextra -Werror -fPIC -shared \
		    -fvisibility=hidden -Wl,-z,noexecstack -I"$dir/include" \
		    -o "$so" "$source" >"$work/log" 2>&1
		result $? "$name builds with the headers of $version"
		"$program" plugin describe "$so" >"$work/log" 2>&1 &&
		    grep -q "^$name .*SDK $version)" "$work/log"
		result $? "$name $version is described by this host"
		"$program" plugin check "$so" --script "${source%.c}.json" \
		    >"$work/log" 2>&1
		result $? "$name $version keeps its promises in this host"
	done
	cat >"$work/$version.conf" <<END
plugins : {
	dirs = [ "$work/$version" ];
	toolkit_frozen : { };
	llm_frozen : { api_key = "env:FROZEN_KEY"; };
	vector_frozen : { };
	auth_frozen : { password = "env:FROZEN_KEY"; };
};
END
	mkdir -p "$work/$version.d" && mv "$work/$version.conf" "$work/$version.d"
	FROZEN_KEY=frozen "$program" check --conf "$work/$version.d" \
	    --set "data_dir=$work/data" >"$work/log" 2>&1
	result $? "all of $version are loaded together"
	(cd "$dir/include/agentstudio" && for h in *.h; do
		[ -f "$src/sdk/include/agentstudio/$h" ] || exit 1
	done)
	result $? "every header of $version is still there"
done
[ $n -gt 0 ] || exit 1
plan
