#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The examples of the SDK, in C, C++ and Rust, by their own makefiles: they
# build, keep the promises of the SDK, do what their check.json expects, and are
# taken by the host.
set -u
unset MAKEFLAGS MAKELEVEL MFLAGS
src=$(cd "${srcdir:-.}" && pwd) build=$(cd "${builddir:-.}" && pwd)
program=$build/agent-studio
work=$(mktemp -d "${TMPDIR:-/tmp}/agent-studio-examples.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp -r "$src"/sdk/examples/* "$work" && chmod -R u+w "$work"
cd "$work" || exit 1
cat >agentstudio.pc <<END
Name: agentstudio
Description: the tree
Version: 0
Cflags: -I$src/sdk/include
END
export PKG_CONFIG_PATH="$work"
# Debian's, if there are others: it is the one that must do.
rustc=rustc
[ -x /usr/bin/rustc ] && rustc=/usr/bin/rustc
about=examples logs=log
. "$src/tests/integration/tap.sh"

for name in toolkit_*; do
	if [ -f "$name/$name.rs" ] && ! command -v $rustc >/dev/null &&
	    [ -z "${CI:-}" ]; then
		n=$((n + 1))
		echo "ok $n - examples: $name # SKIP no rustc"
		continue
	fi
	make -C "$name" RUSTC=$rustc >log 2>&1
	result $? "$name builds"
	"$program" plugin check "$name/$name.so" >log 2>&1 &&
	    ! grep -q ': note: ' log
	result $? "$name: $(tail -n 1 log)"
	mkdir conf && cat >conf/x.conf <<END
plugins : { dirs = [ "$work/$name" ]; $name : { }; };
END
	"$program" check --conf conf --set "data_dir=$work/data" >log 2>&1 &&
	    "$program" plugin list --conf conf >log 2>&1 &&
	    grep -q "^$name .* enabled " log
	result $? "$name is taken by the host"
	rm -r conf
done
[ $n -gt 0 ] || exit 1
plan
