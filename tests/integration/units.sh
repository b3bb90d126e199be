#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The units of etc/: systemd-analyze has nothing to say about them.
set -u
src=$(cd "${srcdir:-.}" && pwd) build=$(cd "${builddir:-.}" && pwd)
units='agent-studio.socket agent-studio@1.service agent-studio-worker@1.service'

if ! command -v systemd-analyze >/dev/null && [ -z "${CI:-}" ]; then
	echo '1..0 # SKIP no systemd'
	exit 0
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/agent-studio-units.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

about=units logs=log
. "$src/tests/integration/tap.sh"

# Its words count, too: what it does not know it only warns of.
verify() {
	systemd-analyze verify --man=no "./$1" >log 2>&1 && [ ! -s log ]
}

cp "$src/etc/agent-studio.socket" .
for unit in agent-studio@.service agent-studio-worker@.service; do
	grep '^ExecStart=/.*/bin/agent-studio ' "$build/etc/$unit" >log 2>&1
	result $? "$unit names what is installed"
	user=$(sed -n 's/^User=//p' "$build/etc/$unit")
	grep "^u $user " "$src/etc/sysusers.d/agent-studio.conf" >log 2>&1
	result $? "$unit has a user"
	sed "s,^ExecStart=[^ ]*,ExecStart=$build/agent-studio," \
	    "$build/etc/$unit" >"$unit"
done
for unit in $units; do
	verify "$unit"
	result $? "$unit"
done
for unit in agent-studio@1.service agent-studio-worker@1.service; do
	systemd-analyze security --offline=yes --threshold=25 "./$unit" >log 2>&1
	result $? "$unit is confined"
done
sed -i 's/^ProtectSystem=/ProtectSytem=/' agent-studio@.service
! verify agent-studio@1.service
result $? 'a mistake is found'

plan
