#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Plugins that are wrong: each is refused with a sentence that names the thing
# and the remedy, and a thread in which a tool said nonsense stays usable.
set -u
src=$(cd "${srcdir:-.}" && pwd) build=$(cd "${builddir:-.}" && pwd)
program=$build/agent-studio
work=$(mktemp -d "${TMPDIR:-/tmp}/agent-studio-bad.XXXXXX")
server=
cleanup() {
	[ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
cd "$work" || exit 1
about=bad logs='log serve.log chat'
. "$src/tests/integration/tap.sh"

compile() { # name, source, flags
	name=$1 source=$2
	shift 2
	# shellcheck disable=SC2086
	${CC:-cc} -std=c11 -O1 -fPIC -shared -fvisibility=hidden \
	    -I"$src/sdk/include" "$@" -o "$name.so" \
	    "$src/tests/integration/plug/$source.c" || exit 1
}

# The configuration with one more group is refused, and says so.
refused() { # what, name, its settings, sentence
	rm -rf conf && mkdir conf
	cat >conf/x.conf <<END
plugins : {
	dirs = [ "$work", "$build/plugins" ];
	toolkit_clock : { };
	$2 : { $3 };
};
END
	"$program" check --conf conf --set "data_dir=$work/data" >log 2>&1
	[ $? -eq 1 ] && grep -Eq "^conf/x.conf:[0-9]+: plugins\.$2.*$4" log &&
	    [ "$(wc -l <log)" -eq 1 ]
	result $? "$1"
}

compile_bad() { compile "toolkit_bad$1" bad -DBAD="$1" -DBAD_NAME="\"toolkit_bad$1\""; }
for i in 1 2 3 4 5 6 7 8 9; do
	compile_bad $i
done
compile toolkit_worse worse -DNAME='"toolkit_worse"'
compile toolkit_twice worse -DNAME='"toolkit_twice"' -DTWICE

refused 'wrong magic' toolkit_bad1 '' 'not an Agent Studio plugin.*rebuild it'
refused 'another major' toolkit_bad2 '' \
    'built for SDK 2\.0, this agent-studio has 1\.0: rebuild'
refused 'a newer minor' toolkit_bad3 '' \
    'needs SDK 1\.1, this agent-studio has 1\.0: upgrade agent-studio, or'
refused 'a missing symbol' toolkit_bad4 '' 'no as_plugin_entry.*AS_PLUGIN'
refused 'nothing in it' toolkit_bad5 '' 'provides nothing'
refused 'a table that does not fit' toolkit_bad6 '' 'field n .*write the table'
refused 'another name' toolkit_bad7 '' 'says that it is .*: rename the file'
refused 'an invalid JSON Schema' toolkit_bad8 '' 'tool run: schema /type: '
refused 'an effect of no argument' toolkit_bad9 '' "'how' is no argument"
refused 'two tools of one name' toolkit_twice '' 'two tools are called far'
refused 'an option out of range' toolkit_worse 'number = 7;' \
    'number: expected 1 to 5, got 7'
refused 'an option that there is not' toolkit_worse 'nummer = 3;' \
    "unknown setting; did you mean 'number'"
rm -rf conf && mkdir conf && cat >conf/x.conf <<END
plugins : {
	dirs = [ "$work", "$build/plugins" ];
	worse : { plugin = "toolkit_worse"; };
	toolkit_worse : { };
};
END
"$program" check --conf conf --set "data_dir=$work/data" >log 2>&1
[ $? -eq 1 ] && grep -q "plugins.toolkit_worse.*same short name 'worse' as plugins.worse; rename" log
result $? 'two groups of one name'

head -c 5000 toolkit_worse.so >toolkit_cut.so
refused 'a file that is cut off' toolkit_cut '' 'cut off: .*: copy or build it again'
: >toolkit_empty.so
refused 'an empty file' toolkit_empty '' 'not a shared object: copy or build it'
damage() { # offset, byte: in a copy
	cp toolkit_worse.so toolkit_hurt.so
	printf "$2" | dd of=toolkit_hurt.so bs=1 seek="$1" conv=notrunc 2>/dev/null
}
damage 0 X
refused 'a corrupt file' toolkit_hurt '' 'not a shared object: copy or build it'
damage 16 '\001'
refused 'an object file' toolkit_hurt '' 'not a shared one: copy or build it'
damage 18 '\050'
refused 'a file of another machine' toolkit_hurt '' \
    'another kind of machine: copy or build it'
damage 45 '\377'
refused 'tables beyond the end' toolkit_hurt '' 'cut off: .*: copy or build it again'

# ---- what it says

cat >script.json <<'END'
[{"tool_calls": [{"name": "worse_big", "args": {}}]},
 {"tool_calls": [{"name": "worse_bytes", "args": {}}]},
 {"tool_calls": [{"name": "worse_far", "args": {}}]},
 {"text": "All three were refused."},
 {"text": "Still here."}]
END
rm -rf conf && mkdir conf && cat >conf/x.conf <<END
plugins : {
	dirs = [ "$work", "$build/plugins" ];
	toolkit_worse : { };
	auth_local : { isolation = "none"; memory = 8192; passes = 1; };
	llm_demo : { isolation = "none"; script = "$work/script.json"; };
};
models : { default = "demo/demo"; };
store : { migrations = "$src/migrations"; };
END
mkfifo out
"$program" serve --conf conf --data data --port 0 >out 2>serve.log &
server=$!
exec 3<out
url=
while [ -z "$url" ] && read -r line <&3; do
	url=$(echo "$line" | sed -n 's/^listening on //p')
done
printf 'go\nand now?\n\n' | "$program" chat --url "$url" --signup \
    --email me@example.org --password 'correct horse' --toolkits worse \
    >chat 2>&1
result $? 'a conversation with nonsense ends well'
grep -q 'larger than 16 MiB' chat
result $? 'an answer of 17 MiB is refused with its limit'
grep -q 'not UTF-8' chat
result $? 'an answer that is not UTF-8 is refused'
grep -q 'may not use ..net:undeclared.example..: its .grants do not have' chat
result $? 'a host that was not declared is refused, and the remedy named'
grep -q 'All three were refused' chat && grep -q 'Still here' chat
result $? 'the thread stays usable'
plan
