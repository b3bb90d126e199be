# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# For tests of the program's commands, which source it: an empty folder with
# another one, conf, in it; run ARGUMENT..., then look at $status and at the
# files out and err; result STATUS NAME says one case.
set -u
program=$builddir/agent-studio
if [ ! -x "$program" ]; then
	echo '1..0 # SKIP there is no program'
	exit 0
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" && mkdir conf || exit 1
n=0

result() { # status name
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		sed 's/^/# /' out err
		echo "not ok $n - $2"
	fi
}

run() { # arguments; $status is the exit status
	"$program" "$@" >out 2>err
	status=$?
}
