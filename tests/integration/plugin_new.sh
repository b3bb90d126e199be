#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# "agent-studio plugin new": each kind builds without a warning, passes its own
# tests and the conformance kit, is taken by the host, and can be installed.
# The SDK is that of the tree; make installcheck does the same with an
# installed one.
set -u
unset MAKEFLAGS MAKELEVEL MFLAGS
src=$(cd "${srcdir:-.}" && pwd) build=$(cd "${builddir:-.}" && pwd)
program=$build/agent-studio
work=$(mktemp -d "${TMPDIR:-/tmp}/agent-studio-new.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
about=new logs=log
. "$src/tests/integration/tap.sh"

cat >agentstudio.pc <<END
bindir=$build
plugindir=/plugins
confdir=/conf.d
mandir=/man
Name: agentstudio
Description: the tree
Version: 0
Cflags: -I$src/sdk/include
END
export PKG_CONFIG_PATH="$work"
new() { "$program" plugin new --templates "$src/sdk/templates" "$@" >log 2>&1; }

for kind in toolkit llm vector auth; do
	name=${kind}_road_trip
	new $kind road_trip
	result $? "$kind: a folder is written"
	# Who made it has nothing to replace.
	! grep -rq '@[A-Z]*@' $name
	result $? "$kind: every name is put in"
	make -C $name CC="${CC:-cc}" >log 2>&1 && ! grep -qi warning log
	result $? "$kind: it builds without a warning"
	make -C $name check >log 2>&1 && ! grep -q ': note: ' log
	result $? "$kind: its tests pass"
	make -C $name install DESTDIR="$work/stage" >log 2>&1 &&
	    [ -x stage/plugins/$name.so ] && [ -f stage/man/man7/$name.7 ] &&
	    cmp -s stage/conf.d/80-$name.conf $name/conf/$name.conf
	result $? "$kind: it can be installed"
	echo '# mine' >>stage/conf.d/80-$name.conf
	make -C $name install DESTDIR="$work/stage" >log 2>&1 &&
	    grep -q '# mine' stage/conf.d/80-$name.conf
	result $? "$kind: an admin's configuration stays"
done

LLM_ROAD_TRIP_API_KEY=key AUTH_ROAD_TRIP_PASSWORD=secret \
    "$program" check --conf stage/conf.d --data data \
    --set "plugins.dirs=[\"$work/stage/plugins\"]" >log 2>&1
result $? "the host takes all four with their sample configuration"
ls "$work/stage/plugins" | sed 's/\.so$//' >names
LLM_ROAD_TRIP_API_KEY=key AUTH_ROAD_TRIP_PASSWORD=secret \
    "$program" plugin list --conf stage/conf.d \
    --set "plugins.dirs=[\"$work/stage/plugins\"]" >log 2>&1
[ "$(grep -c ' enabled ' log)" -eq "$(wc -l <names)" ]
result $? "each is enabled"

new toolkit toolkit_other && [ -f toolkit_other/toolkit_other.c ]
result $? "the kind may stand before the name"
new toolkit trip elsewhere && [ -f elsewhere/toolkit_trip.c ]
result $? "another folder"
contents() { find elsewhere -type f -exec cat {} + | cksum; }
before=$(contents)
new toolkit trip elsewhere
[ $? -eq 1 ] && grep -q 'elsewhere exists already, nothing was written' log &&
    [ "$before" = "$(contents)" ]
result $? "a folder that exists is left alone"
mkdir empty && new toolkit trip empty
[ $? -eq 1 ] && grep -q 'exists already' log
result $? "an empty one, too"
for bad in Trip 1trip tr-ip 'tr ip' _trip '' a/b toolkit_; do
	new toolkit "$bad"
	[ $? -eq 2 ] && grep -q 'cannot be a name' log
	result $? "not a name: '$bad'"
done
new node trip
[ $? -eq 2 ] && grep -q "no kind 'node'.*toolkit, llm, vector and auth" log
result $? "not a kind"
plan
