#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# "agent-studio plugin" and "agent-studio migrate": what they print, and with
# which status they end.
. "$srcdir/tests/integration/program.sh"

cat >conf/10.conf <<END
plugins : {
	dirs = [ "$builddir/plugins" ];
	toolkit_clock : { enabled = true; };
	toolkit_http : { enabled = false; };
	llm_openai : { enabled = "auto"; api_key = "env:T_COMMANDS_KEY"; };
	llm_second : {
		plugin = "llm_openai";
		enabled = true;
		base_url = "http://127.0.0.1:9/v1";
	};
};
store : { migrations = "$srcdir/migrations"; };
END
unset T_COMMANDS_KEY

# ---- plugin list

run plugin list --conf conf
[ $status -eq 0 ] &&
    grep -q '^NAME  *KIND  *VERSION  *STATE  *SUMMARY$' out &&
    grep -q '^toolkit_clock  *toolkit  *[0-9.]*  *enabled  *Tells' out &&
    grep -q '^toolkit_http .* disabled  *enabled = false$' out &&
    grep -q '^llm_second  *llm  *[0-9.]*  *enabled' out
result $? 'list: names, kinds, versions, states'

grep -q '^llm_openai .* disabled  *api_key: .*T_COMMANDS_KEY' out
result $? 'list: what a plugin lacks'

T_COMMANDS_KEY=sk-not-shown "$program" plugin list --conf conf >out 2>err &&
    grep -q '^llm_openai  *llm  *[0-9.]*  *enabled' out &&
    ! grep -q sk-not-shown out err
result $? 'list: it is there, and not shown'

mkdir empty
run plugin list --conf empty
[ $status -eq 0 ] && grep -q 'no group in plugins.*--conf' err
result $? 'list: nothing is configured'

run plugin list --conf conf --set plugins.toolkit_clock.enabeld=true
[ $status -eq 1 ] && grep -q 'enabeld' err
result $? 'list: a mistake in the configuration'

# ---- plugin describe

run plugin describe llm_openai --conf conf
[ $status -eq 0 ] && grep -q '^llm_openai [0-9.]* (llm, SDK ' out &&
    grep -q '^Options$' out && grep -q '^  api_key  (secret)$' out &&
    grep -q '^  idle  (time, default 120000 ms, 1000 to 3600000 ms' out &&
    [ "$(awk 'length > 120' out | wc -l)" -eq 0 ]
result $? 'describe: options with type, default and range'

run plugin describe toolkit_http --conf conf
[ $status -eq 0 ] && grep -q '^Tools$' out &&
    grep -q '^  http_request  (effect once' out &&
    grep -q '^      effect  by method: GET none, .*PUT repeat, .*others once$' \
	out &&
    grep -q '^      input   {.*"url"' out
result $? 'describe: tools with effect and schema'

run plugin describe llm_second --conf conf
[ $status -eq 0 ] && grep -q '^llm_openai ' out
result $? 'describe: a second instance is its plugin'

run plugin describe "$builddir/plugins/toolkit_clock.so"
[ $status -eq 0 ] && grep -q '^toolkit_clock ' out
result $? 'describe: a file, without a configuration'

run plugin describe toolkit_none --conf conf
[ $status -eq 1 ] && [ ! -s out ] &&
    grep -q "no plugin toolkit_none in .*$builddir/plugins" err
result $? 'describe: no such plugin, and where it was looked for'

echo 'not a plugin' >broken.so
run plugin describe ./broken.so
[ $status -eq 1 ] && [ ! -s out ] && grep -q 'broken.so' err
result $? 'describe: a file that is no plugin'

run plugin explain llm_demo
[ $status -eq 2 ] && [ ! -s out ] && [ -s err ]
result $? 'plugin: no such word'

# ---- migrate

run migrate --check --conf conf --data data
[ $status -eq 1 ] && [ -s err ]
result $? 'migrate --check: there is something to do'

run migrate --conf conf --data data
[ $status -eq 0 ] && grep -q '^[1-9][0-9]* migrations* applied$' out
result $? 'migrate: applies'

run migrate --conf conf --data data
[ $status -eq 0 ] && grep -q '^the database is up to date$' out
result $? 'migrate: nothing more to do'

run migrate --check --conf conf --data data
[ $status -eq 0 ] && grep -q '^the database is up to date$' out
result $? 'migrate --check: nothing to do'

run migrate --conf conf --set store.url=postgresql://nobody@127.0.0.1:1/none
[ $status -eq 1 ] && [ ! -s out ] && [ -s err ] && ! grep -q nobody err
result $? 'migrate: no such server'

run migrate --conf conf --data data extra
[ $status -eq 2 ] && [ -s err ]
result $? 'migrate: a word too many'

plan
