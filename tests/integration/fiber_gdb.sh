#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The gdb commands of script/fiber-gdb.py, on a test that has fibers parked, and
# what docs/sdk/debugging.md does with a plugin.

srcdir=${srcdir:-.}
builddir=${builddir:-.}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
n=0

skip() {
	echo "1..0 # SKIP $1"
	exit 0
}

has() {
	n=$((n + 1))
	if grep -Eq "$1" "$out"; then
		echo "ok $n - $2"
	else
		sed 's/^/# /' "$out"
		echo "not ok $n - $2"
	fi
}

command -v gdb >/dev/null || skip 'no gdb'
gdb -nx -batch -ex 'python import gdb.unwinder' 2>&1 | grep -q . &&
	skip 'this gdb has no Python'

readelf -S "$builddir/tests/unit/t_pool" 2>/dev/null |
	grep -q debug_info || skip 'built without debugging information'

# The first sem_post is of a test where one fiber waits for the pool.
DEBUGINFOD_URLS='' ASAN_OPTIONS=detect_leaks=0 timeout 120 gdb -nx -batch \
	-iex 'set auto-load no' -x "$srcdir/script/fiber-gdb.py" \
	-ex 'set breakpoint pending on' -ex 'break sem_post' -ex run \
	-ex fibers -ex 'fiber-bt all' -ex kill \
	"$builddir/tests/unit/t_pool" >"$out" 2>&1
if ! grep -q 'Breakpoint 1, ' "$out" && grep -qi ptrace "$out"; then
	skip 'gdb may not trace here'
fi

echo 1..6
has '^ +[0-9]+ running +test$' 'the running fiber is listed'
has '^ +[0-9]+ parked +patient( .*)?$' 'the parked one is listed'
has '^#[0-9]+ .* in pool_run \(' 'its backtrace shows where it waits'
has '^#[0-9]+ .* in client_run \(' 'and who called'

# A plugin is mapped from a copy without a name; its symbols are found.
DEBUGINFOD_URLS='' ASAN_OPTIONS=detect_leaks=0 timeout 120 gdb -nx -batch \
	-iex 'set auto-load no' -x "$srcdir/script/fiber-gdb.py" \
	-ex 'set breakpoint pending on' -ex 'break call_serve' \
	-ex "run plugin check $builddir/plugins/toolkit_http.so --script \
	$srcdir/plugins/toolkit_http/check.json --case calls/0 3>&1" \
	-ex plugin-symbols -ex bt -ex kill "$builddir/agent-studio" >"$out" 2>&1
has '^#[0-9]+ .* at .*sdk/include/agentstudio/host.h:' \
	'a breakpoint in a check shows what the plugin has called'
has '^#[0-9]+ .* at .*plugins/toolkit_http/.*\.c:' 'and where'
