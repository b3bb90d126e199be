# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Shared by the commands of script/: packages, builds, a scratch PostgreSQL.
# Sourced with ROOT set to the checkout.  Messages go to standard error.

BUILD="$ROOT/build"
JOBS="${JOBS:-$(nproc 2>/dev/null || echo 2)}"

# Debian packages by need; a|b means any of them, the first is installed.
PACKAGES_BUILD="gcc libc6-dev make autoconf automake libtool pkg-config
	libevent-dev libllhttp-dev|node-llhttp libwslay-dev
	libcurl4-openssl-dev|libcurl4-gnutls-dev libpq-dev libsqlite3-dev
	libhiredis-dev libjson-c-dev libjwt-dev libsodium-dev libconfig-dev
	libssl-dev libseccomp-dev
	ca-certificates tzdata util-linux python3"
PACKAGES_TEST="libcunit1-dev clang libclang-rt-14-dev|libclang-rt-dev llvm
	clang-format postgresql pgbouncer redis-server nodejs node-ws chromium
	nginx-light|nginx haproxy systemd
	python3 curl
	xz-utils binutils procps g++ rustc"
PACKAGES_LINT="clang-format clang-tidy python3 binutils gcc git"
PACKAGES_BENCH="postgresql redis-server redis-tools nginx-light|nginx wrk curl
	python3 procps"
PACKAGES_CLUSTER="postgresql redis-server nginx-light|nginx curl procps python3"
PACKAGES_COVERAGE="gcovr"

say() {
	printf '%s\n' "== $*" >&2
}

die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

package_is_installed() {
	local alternative
	for alternative in ${1//|/ }; do
		[ "$(dpkg-query -W -f='${db:Status-Status}' "$alternative" \
		    2>/dev/null)" = installed ] && return 0
	done
	return 1
}

# The first alternative that apt knows.
package_choose() {
	local alternative
	for alternative in ${1//|/ }; do
		apt-cache show "$alternative" >/dev/null 2>&1 &&
		    printf '%s' "$alternative" && return 0
	done
	return 1
}

packages_choose() {
	local wish chosen
	for wish in "$@"; do
		chosen=$(package_choose "$wish") || return 1
		printf '%s ' "$chosen"
	done
}

# need PACKAGE...: install what is missing, or say what it is and exit 1.
need() {
	local missing=() wish as_root=() chosen
	command -v dpkg-query >/dev/null || return 0
	for wish in "$@"; do
		package_is_installed "$wish" || missing+=("$wish")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" != 0 ]; then
		if command -v sudo >/dev/null &&
		    { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
			as_root=(sudo)
		else
			die "these packages are missing; install them as" \
			    "root: ${missing[*]%%|*}"
		fi
	fi
	say "installing ${missing[*]%%|*}"
	if ! chosen=$(packages_choose "${missing[@]}") ||
	    ! apt_install $chosen; then
		say "apt-get update"
		"${as_root[@]}" apt-get update -q >&2 ||
		    die "apt-get update failed"
		chosen=$(packages_choose "${missing[@]}") ||
		    die "apt knows no package for one of: ${missing[*]}"
		# shellcheck disable=SC2086
		apt_install $chosen || die "could not install: $chosen"
	fi
}

apt_install() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install \
	    -y -q --no-install-recommends "$@" >&2
}

# Templates are made once; after that make notices changes by itself.
autogen() {
	mkdir -p "$BUILD"
	(
		flock 9
		if [ ! -f "$ROOT/configure" ] || [ ! -f "$ROOT/Makefile.in" ] ||
		    [ "$ROOT/configure.ac" -nt "$ROOT/configure" ] ||
		    [ -n "$(find "$ROOT" -path "$BUILD" -prune -o \
			\( -name local.mk -o -name Makefile.am \) \
			-newer "$ROOT/Makefile.in" -print -quit)" ]; then
			say "autogen.sh"
			"$ROOT/autogen.sh" >"$BUILD/autogen.log" 2>&1 || {
				cat "$BUILD/autogen.log" >&2
				die "autogen.sh failed"
			}
			touch "$ROOT/Makefile.in"
		fi
	) 9>"$BUILD/autogen.lock"
}

# tree_configure NAME ARG...: configure build/NAME unless it is, with the same
# arguments.
tree_configure() {
	local dir="$BUILD/$1" name=$1
	shift
	autogen || return 1
	mkdir -p "$dir"
	if [ ! -f "$dir/Makefile" ] || [ ! -f "$dir/.arguments" ] ||
	    [ "$(cat "$dir/.arguments")" != "$*" ]; then
		say "configuring build/$name: $*"
		(cd "$dir" && "$ROOT/configure" -q "$@") >&2 || return 1
		printf '%s' "$*" >"$dir/.arguments"
	fi
}

# tree_build NAME [TARGET...]
tree_build() {
	local dir="$BUILD/$1" name=$1
	shift
	say "building build/$name${*:+: $*}"
	make -C "$dir" -j"$JOBS" --no-print-directory "$@" >&2
}

release_build() {
	tree_configure release --enable-in-place CFLAGS='-O2 -g' || return 1
	tree_build release
}

# ---- PostgreSQL in a folder of its own -------------------------------------

# initdb and postgres refuse to run as root.
as_postgres() {
	if [ "$(id -u)" = 0 ]; then
		runuser -u postgres -- "$@"
	else
		"$@"
	fi
}

postgres_bin() {
	local dir newest=
	for dir in /usr/lib/postgresql/*/bin; do
		[ -x "$dir/initdb" ] && newest=$dir
	done
	[ -n "$newest" ] || newest=$(dirname "$(command -v initdb)")
	printf '%s' "$newest"
}

# postgres_start SETTING...: a cluster that listens on a socket only; sets
# PG_DIR and PG_URL.  Its folder is under /tmp: the path of a socket is short,
# and the user postgres may not be able to enter the checkout.
postgres_start() {
	local bin setting
	bin=$(postgres_bin)
	PG_DIR=$(mktemp -d "${TMPDIR:-/tmp}/agent-studio-pg.XXXXXX")
	[ "$(id -u)" != 0 ] || chown postgres "$PG_DIR"
	(cd / && as_postgres "$bin/initdb" -D "$PG_DIR/data" -U test -A trust \
	    -E UTF8 --locale=C >"$PG_DIR.log" 2>&1) || {
		cat "$PG_DIR.log" >&2
		return 1
	}
	for setting in "listen_addresses = ''" \
	    "unix_socket_directories = '$PG_DIR'" "max_connections = 200" "$@"
	do
		printf '%s\n' "$setting" | as_postgres \
		    tee -a "$PG_DIR/data/postgresql.conf" >/dev/null
	done
	(cd / && as_postgres "$bin/pg_ctl" -D "$PG_DIR/data" -l \
	    "$PG_DIR/server.log" -w -t 60 start >>"$PG_DIR.log" 2>&1) || {
		cat "$PG_DIR.log" "$PG_DIR/server.log" >&2
		return 1
	}
	(cd / && as_postgres "$bin/createdb" -h "$PG_DIR" -U test test) ||
	    return 1
	PG_URL="postgresql:///test?host=$PG_DIR&user=test"
}

# postgres_restart MODE [SECONDS]: of the cluster in PG_DIR, which is away for
# that long at least; fast, or immediate as a crash.
postgres_restart() {
	(
		cd / || exit 1
		ctl=("$(postgres_bin)/pg_ctl" -D "$PG_DIR/data" -w -t 60)
		as_postgres "${ctl[@]}" -m "$1" stop && sleep "${2:-0}" &&
		    as_postgres "${ctl[@]}" -l "$PG_DIR/server.log" start
	) >>"$PG_DIR.log" 2>&1
}

# postgres_follow [DIR]: a standby of the cluster in PG_DIR, in a new folder or
# instead of what is in that one; prints the folder.  It is streaming.
postgres_follow() {
	local bin dir=${1:-}
	bin=$(postgres_bin)
	[ -n "$dir" ] || dir=$(mktemp -d "${TMPDIR:-/tmp}/agent-studio-pg.XXXXXX")
	[ "$(id -u)" != 0 ] || chown postgres "$dir"
	(
		cd / && rm -rf "$dir/data" &&
		    as_postgres "$bin/pg_basebackup" -D "$dir/data" \
		        -h "$PG_DIR" -U test -R -c fast &&
		    printf '%s\n' "unix_socket_directories = '$dir'" \
		        "synchronous_standby_names = ''" | as_postgres \
		        tee -a "$dir/data/postgresql.auto.conf" >/dev/null &&
		    as_postgres "$bin/pg_ctl" -D "$dir/data" \
		        -l "$dir/server.log" -w -t 60 start
	) >"$dir.log" 2>&1 || {
		cat "$dir.log" >&2
		return 1
	}
	printf '%s\n' "$dir"
}

# The standby in PG_DIR takes over; returns when it takes writes.
postgres_promote() {
	(cd / && as_postgres "$(postgres_bin)/pg_ctl" -D "$PG_DIR/data" -w \
	    -t 60 promote) >>"$PG_DIR.log" 2>&1
}

# SIGKILL for every process of the cluster in PG_DIR: its machine is gone.
postgres_kill() {
	local pid children
	pid=$(head -n 1 "$PG_DIR/data/postmaster.pid")
	kill -STOP "$pid"
	children=$(pgrep -P "$pid" | tr '\n' ' ')
	# shellcheck disable=SC2086
	kill -KILL "$pid" $children
	while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
}

# Of a cluster that was killed.
postgres_again() {
	(cd / && as_postgres "$(postgres_bin)/pg_ctl" -D "$PG_DIR/data" \
	    -l "$PG_DIR/server.log" -w -t 60 start) >>"$PG_DIR.log" 2>&1
}

postgres_stop() {
	[ -n "${PG_DIR:-}" ] || return 0
	(cd / && as_postgres "$(postgres_bin)/pg_ctl" -D "$PG_DIR/data" \
	    -m immediate -w stop >/dev/null 2>&1) || true
	rm -rf "$PG_DIR" "$PG_DIR.log"
	PG_DIR=
}
