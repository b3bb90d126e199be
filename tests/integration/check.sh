#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# "agent-studio check" and "conf show" find every kind of mistake at its place,
# without a database and without leaving anything behind.
. "$srcdir/tests/integration/program.sh"

cat >conf/10-good.conf <<END
server : { port = 0; };
plugins : {
	dirs = [ "$builddir/plugins" ];
	toolkit_clock : { enabled = true; };
	llm_openai : { enabled = "auto"; api_key = "env:T_CHECK_KEY"; };
};
store : { migrations = "$srcdir/migrations"; };
END
unset T_CHECK_KEY
run check --conf conf
[ $status -eq 0 ] && [ ! -s err ]
result $? 'a good folder'

T_CHECK_KEY=sk-secret-value
export T_CHECK_KEY
run conf show --conf conf --set runs.max_steps=7
[ $status -eq 0 ] &&
    grep -q '^server.port = 0  (conf/10-good.conf:1)$' out &&
    grep -q '^runs.max_steps = 7  (--set)$' out &&
    grep -q '^server.host = "127.0.0.1"  (default)$' out &&
    grep -q '^plugins.llm_openai.api_key = \*\*\*  (conf/10' out &&
    ! grep -q sk-secret out err
result $? 'conf show: values, origins, no secret'

cat >conf/20-bad.conf <<'END'
server : {
	prot = 80;
	port = 81;
	idle_timeout = "fast";
};
plugins : {
	toolkit_clock : {
		enabeld = true;
	};
	toolkit_none : { enabled = true; };
};
sever : { };
END
run check --conf conf
[ $status -eq 1 ] && [ ! -s out ] &&
    grep -q "^conf/20-bad.conf:2: server.prot: unknown .*'port'?$" err &&
    grep -q '^conf/20-bad.conf:3: server.port: .* at conf/10-good' err &&
    grep -q '^conf/20-bad.conf:4: server.idle_timeout: expected' err &&
    grep -q "^conf/20-bad.conf:8: plugins.toolkit_clock.enabeld: .*'" err &&
    grep -q '^conf/20-bad.conf:10: .*toolkit_none' err &&
    grep -q "^conf/20-bad.conf:12: sever: unknown .*'server'?$" err &&
    [ "$(wc -l <err)" -eq 6 ]
result $? 'every mistake, with file and line'

rm conf/20-bad.conf
run check --conf conf --set server.port=x --set nonsense
[ $status -eq 1 ] && grep -q '^--set: server.port: ' err &&
    grep -q '^--set: expected section.name=value' err
result $? 'mistakes on the command line'

run check --conf no-such-folder
[ $status -eq 1 ] && grep -q '^no-such-folder: cannot read' err
result $? 'a folder that is not there'

run check --no-such-option
[ $status -eq 2 ] && grep -q 'unknown option --no-such-option' err
result $? 'an option that is not there'

run check conf
[ $status -eq 2 ] && grep -q "unexpected 'conf'; see --help" err
result $? 'a word that says nothing'

run serve --conf conf --data "$dir/data" --set nonsense
[ $status -eq 1 ] && grep -q '^--set: expected section.name=value' err &&
    [ ! -e data ]
result $? 'serve: its own settings before the database'

run serve --conf conf --data "$program/x"
[ $status -eq 1 ] && grep -q 'data_dir must be a folder' err
result $? 'serve: a data folder that cannot be'

run serve --conf conf --data "$dir/pg" \
    --set store.url=postgresql://127.0.0.1:1/none
[ $status -eq 1 ] && grep -q 'port 1 failed: .*correct store.url$' err
result $? 'serve: a database that is down'
rm -rf pg

run check --conf conf --data "$dir/data"
[ $status -eq 0 ] && [ ! -e data ] && [ ! -e var ]
result $? 'nothing is made'
plan
