# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# For tests that are scripts, which source it after they have set $about, a word
# for what they are about, and $logs, the files that say why something failed:
# result STATUS NAME says one case, plan ends the test.
n=0
failed=0

result() { # status name
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $about: $2"
		return
	fi
	failed=1
	echo "not ok $n - $about: $2"
	for log in $logs; do
		[ ! -f "$log" ] || sed 's/^/# /' "$log"
	done
}

plan() {
	echo "1..$n"
	exit $failed
}
