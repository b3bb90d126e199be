# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# For tests of the program's commands, which source it: an empty folder with
# another one, conf, in it; run ARGUMENT..., then look at $status and at the
# files out and err; see tap.sh for result and plan.
set -u
program=$builddir/agent-studio
if [ ! -x "$program" ]; then
	echo 'Bail out! there is no program'
	exit 1
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" && mkdir conf || exit 1
about=$(basename "$0" .sh) logs='out err'
. "$srcdir/tests/integration/tap.sh"

run() { # arguments; $status is the exit status
	"$program" "$@" >out 2>err
	status=$?
}
