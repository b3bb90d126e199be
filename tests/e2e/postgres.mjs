// SPDX-License-Identifier: Apache-2.0
//
// A PostgreSQL that locks, hangs, takes no writes or is behind a proxy: what the
// server answers meanwhile, and what /readyz and the doctor say.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { startPgbouncer } from "../support/pgbouncer.mjs";
import { startPostgres } from "../support/postgres.mjs";
import { startCable } from "../support/cable.mjs";
import { startRedis, startSentinels } from "../support/redis.mjs";
import { api, databaseUrl, signUp, start, startWorker } from "../support/server.mjs";
import { until } from "../support/wait.mjs";

const TIMEOUT_MS = 2000; // store.timeout
const LATE_MS = 10 * (TIMEOUT_MS + 2000); // a server that is silent is given up
const PROGRAM = process.env.AGENT_STUDIO ?? "agent-studio";
let postgres, cable, server, ada, data;

before(async () => {
	postgres = await startPostgres();
	cable = await startCable(`${postgres.dir}/.s.PGSQL.5432`);
	data = mkdtempSync(join(tmpdir(), "agent-studio-pg-"));
	sql("CREATE DATABASE one", "test");
	// Only the server goes by the cable, which this process is.
	process.env.TEST_POSTGRES_URL = "postgresql:///test?user=test&" +
		`host=localhost&port=${cable.port}`;
	server = await start({ data, database: "one", set: [`store.timeout=${TIMEOUT_MS}ms`,
		"worker.lease=60s"] });
	ada = await signUp(server);
});
after(async () => {
	cable.go();
	await server?.stop();
	await cable?.stop();
	await postgres?.stop();
	rmSync(data, { recursive: true, force: true });
});

const sql = (text, database = "one") => {
	const { status, stdout, stderr } = spawnSync("psql", ["-X", "-q", "-A", "-t",
		"-v", "ON_ERROR_STOP=1", "-d", databaseUrl(postgres.url, database),
		"-c", text], { encoding: "utf8" });

	assert.equal(status, 0, stderr);
	return stdout.trim();
};
const setting = (name, value) => {
	sql(value === undefined ? `ALTER SYSTEM RESET ${name}`
		: `ALTER SYSTEM SET ${name} = ${value}`);
	sql("SELECT pg_reload_conf()");
};
const ready = async () => (await api(server, "GET", "/readyz")).body;
const me = () => api(server, "GET", "/api/auth/me", { token: ada.token });
const agent = () => api(server, "POST", "/api/agents/", { token: ada.token,
	body: { name: "Eve" } });

const soon = (what, found) => until(what, found, LATE_MS);

async function timed(promise) {
	const at = performance.now();
	const answer = await promise;
	assert.ok(performance.now() - at < LATE_MS, "in time");
	return answer;
}

function run(command, url, ...more) {
	return spawnSync(PROGRAM, [command, "--data", data, "--set",
		`store.url=${url}`, ...more], { encoding: "utf8", timeout: 60000,
		killSignal: "SIGTERM" });
}

// The lines of the doctor by name: {name: [level, text]}.
function doctor(url, ...more) {
	const { status, stdout, stderr } = run("doctor", url, "--json", ...more);
	assert.ok(status !== null && stdout !== "", stderr);
	const { checks, ...counts } = JSON.parse(stdout);
	for (const level of ["ok", "warn", "fail"])
		assert.equal(counts[level],
			checks.filter((c) => c.level === level).length);
	return { status, counts, of: Object.fromEntries(checks.map((c) =>
		[c.name, [c.level, c.text]])) };
}

// A session that holds a lock until it is let go.
async function hold(statement) {
	const child = spawn("psql", ["-X", "-q", "-A", "-t", "-d",
		databaseUrl(postgres.url, server.database)],
	{ stdio: ["pipe", "pipe", "inherit"] });
	const held = new Promise((resolve) => {
		child.stdout.on("data", (text) => /held/.test(text) && resolve());
	});
	child.stdin.write(`BEGIN;\n${statement};\nSELECT 'held';\n`);
	await held;
	return () => new Promise((resolve) => {
		child.on("exit", resolve);
		child.stdin.end("ROLLBACK;\n");
	});
}

test("each session says who it is", () => {
	const names = sql("SELECT string_agg(DISTINCT application_name, ',') FROM " +
		`pg_stat_activity WHERE datname = '${server.database}'`);

	for (const role of ["reader", "writer", "lock"])
		assert.match(names, new RegExp(
			`agent-studio serve \\S+ ${server.child.pid} ${role}`));
});

test("a table that is locked: 503 in time, all else goes on", async () => {
	const release = await hold("LOCK TABLE agents IN ACCESS EXCLUSIVE MODE");
	try {
		const waiting = Array.from({ length: 8 }, () => timed(agent()));
		for (let i = 0; i < 5; i++) {
			const answer = await timed(me());
			assert.equal(answer.status, 200);
		}
		for (const { status, body, headers } of await Promise.all(waiting)) {
			assert.ok(status === 503 || status === 504, `${status}`);
			assert.match(body.code, /^(UNAVAILABLE|TIMEOUT)$/);
			if (status === 503)
				assert.ok(Number(headers.get("retry-after")) >= 1);
		}
		assert.equal((await ready()).checks.store, "ok");
	} finally {
		await release();
	}
	assert.equal((await timed(agent())).status, 201);
});

test("a row that is locked: 503 for its owner only", async () => {
	const release = await hold("SELECT 1 FROM users FOR UPDATE");
	try {
		const { status, body } = await timed(api(server, "PATCH",
			"/api/auth/me", { token: ada.token,
				body: { display_name: "Ada" } }));
		assert.ok(status === 503 || status === 504, JSON.stringify(body));
		if (status === 503)
			assert.match(body.detail, /busy|lock/);
		assert.equal((await timed(me())).status, 200);
	} finally {
		await release();
	}
});

test("a server that takes no writes is told of, and left", async () => {
	setting("default_transaction_read_only", "on");
	try {
		await soon("/readyz to say so", async () => {
			await agent();
			const { status, body } = await api(server, "GET", "/readyz");
			return status === 503 && body.checks.store === "read_only";
		});
		const answer = await timed(agent());
		assert.equal(answer.status, 503, JSON.stringify(answer.body));
		assert.deepEqual(doctor(postgres.url).of["postgres.primary"][0],
			"fail");
	} finally {
		setting("default_transaction_read_only");
	}
	await soon("writes", async () => (await agent()).status === 201);
	assert.equal((await ready()).checks.store, "ok");
});

test("a server that is silent is given up, and found again", async () => {
	cable.silence();
	const waiting = [timed(me()), timed(agent())];
	for (const { status } of await Promise.all(waiting))
		assert.ok(status === 503 || status === 504, `${status}`);
	await soon("/readyz to say so", async () =>
		(await ready()).checks.store === "down");
	cable.go();
	await soon("writes", async () => (await agent()).status === 201);
	assert.equal((await timed(me())).status, 200);
});

async function standbyLost(nth) {
	setting("synchronous_standby_names", "'nobody'");
	try {
		await soon("/readyz to say so", async () => {
			const { status, checks } = await ready();
			return checks.standby === "lost" && status === "degraded";
		});
		// Those that wait are kept: new ones would wait, too.
		const writing = () => Number(sql("SELECT count(*) FROM " +
			"pg_stat_activity WHERE application_name LIKE " +
			`'%${server.child.pid} writer'`));
		await soon("the log to say so", async () => {
			assert.ok((await timed(agent())).status >= 503);
			return server.log.split("a commit does not end").length > nth;
		});
		assert.equal(writing(), 2);
		const { of, status } = doctor(postgres.url);
		assert.equal(of["postgres.standby"][0], "fail");
		assert.equal(status, 1);
	} finally {
		setting("synchronous_standby_names");
	}
	await soon("/readyz to know", async () =>
		(await ready()).checks.standby === "none");
	await soon("writes", async () => (await agent()).status === 201);
}

test("commits that wait for a standby that is not there", async () => {
	assert.equal((await ready()).checks.standby, "none");
	await standbyLost(1);
	// Both connections may have said so the first time.
	await standbyLost(server.log.split("a commit does not end").length);
});

test("a proxy that lends by the transaction is refused", async () => {
	const pool = await startPgbouncer(postgres, "transaction");
	const url = databaseUrl(pool.url, server.database);
	try {
		for (const command of ["worker", "serve"]) {
			const { status, stderr } = run(command, url, "--set",
				"server.port=0");
			assert.equal(status, 1, stderr);
			assert.match(stderr, /proxy that lends servers by the trans/);
		}
		const { of, status } = doctor(url);
		assert.equal(of["postgres.proxy"][0], "fail");
		assert.equal(status, 1);
	} finally {
		await pool.stop();
	}
});

test("one that lends by the session is not", async () => {
	const pool = await startPgbouncer(postgres, "session");
	const url = databaseUrl(pool.url, server.database);
	try {
		assert.match(doctor(url).of["postgres.proxy"][1], /by the session/);
		const worker = await startWorker({ admin: pool.url,
			database: server.database });
		assert.ok(worker.epoch > 0);
		assert.equal((await worker.stop()).code, 0);
	} finally {
		await pool.stop();
	}
});

test("the doctor: what is well", () => {
	const { of, status, counts } = doctor(
		databaseUrl(postgres.url, server.database));

	assert.equal(status, 0, JSON.stringify(of));
	assert.equal(counts.fail, 0);
	for (const name of ["settings", "store.connect", "store.schema",
		"postgres.version", "postgres.proxy", "postgres.primary",
		"postgres.durable", "postgres.connections", "postgres.autovacuum",
		"postgres.horizon", "postgres.clock", "postgres.timeouts"])
		assert.equal(of[name][0], "ok", `${name}: ${of[name]}`);
	// Text, and what warns with --strict.
	const plain = run("doctor", databaseUrl(postgres.url, server.database));
	assert.match(plain.stdout, /^warn {2}postgres\.standby {2,}no commit/m);
	assert.match(plain.stdout, /^\d+ ok, \d+ warn, 0 fail$/m);
	assert.doesNotMatch(plain.stdout, /cannot be seen/);
	assert.equal(plain.status, 0);
	assert.equal(run("doctor", databaseUrl(postgres.url, server.database),
		"--strict").status, 1);
});

test("the doctor: what is not", () => {
	setting("autovacuum", "off");
	setting("idle_session_timeout", "'1h'");
	setting("full_page_writes", "off");
	sql("SELECT pg_create_physical_replication_slot('gone', true)");
	sql("CREATE ROLE studio LOGIN CONNECTION LIMIT 3");
	sql("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0");
	try {
		const mine = databaseUrl(postgres.url, server.database);
		let { of } = doctor(mine);
		for (const [name, level] of [["postgres.autovacuum", "fail"],
			["postgres.timeouts", "warn"], ["postgres.durable", "fail"],
			["postgres.horizon", "warn"], ["postgres.rights", "warn"]])
			assert.equal(of[name][0], level, `${name}: ${of[name]}`);
		({ of } = doctor(mine.replace("user=test", "user=studio")));
		assert.match(of["postgres.rights"].join(), /fail,.* lacks \w+ on /);
		assert.equal(of["postgres.connections"][0], "fail");
		({ of } = doctor(databaseUrl(postgres.url, "ascii")));
		assert.equal(of["postgres.encoding"][0], "fail");
		assert.match(of["store.schema"].join(), /warn,.* are to be applied/);
	} finally {
		for (const name of ["autovacuum", "idle_session_timeout",
			"full_page_writes"])
			setting(name);
		sql("SELECT pg_drop_replication_slot('gone')");
		sql("DROP DATABASE ascii");
		sql("DROP ROLE studio");
	}
	const { of, status } = doctor("postgresql:///test?host=/nowhere");
	assert.equal(of["store.connect"][0], "fail");
	assert.equal(status, 1);
	const bad = doctor(postgres.url, "--set", "server.prot=1");
	assert.equal(bad.of.settings[0], "fail");
	assert.equal(bad.status, 1);
});

test("the doctor: a role with what it needs", () => {
	sql("CREATE ROLE studio LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON " +
		"ALL TABLES IN SCHEMA public TO studio; GRANT USAGE ON ALL " +
		"SEQUENCES IN SCHEMA public TO studio; REVOKE UPDATE, DELETE, " +
		"TRUNCATE ON run_log FROM studio");
	const { of } = doctor(databaseUrl(postgres.url, server.database)
		.replace("user=test", "user=studio"));
	assert.equal(of["postgres.rights"][0], "ok", `${of["postgres.rights"]}`);
	sql("DROP OWNED BY studio; DROP ROLE studio");
});

test("the doctor: Redis", async () => {
	const redis = await startRedis({ password: "sesame" });
	const url = databaseUrl(postgres.url, server.database);
	const look = (password) => doctor(url, "--set", `redis.url=${redis.url}`,
		"--set", `redis.password=${password}`).of;
	process.env.T_REDIS_PASSWORD = "sesame";
	process.env.T_REDIS_WRONG = "open";
	try {
		let of = look("env:T_REDIS_PASSWORD");
		for (const name of ["connect", "version", "memory", "latency"])
			assert.equal(of[`redis.${name}`][0], "ok",
				`${name}: ${of[`redis.${name}`]}`);
		redis.ask("CONFIG", "SET", "maxmemory", "100mb");
		of = look("env:T_REDIS_PASSWORD");
		assert.equal(of["redis.memory"][0], "warn");
		of = look("env:T_REDIS_WRONG");
		assert.match(of["redis.connect"].join(), /^fail,.*WRONGPASS/);
	} finally {
		await redis.stop();
	}
	assert.equal(look("env:T_REDIS_PASSWORD")["redis.connect"][0], "fail");
});

test("the doctor: Redis by its sentinels", async () => {
	process.env.T_SENTINEL_PASSWORD = "open";
	process.env.T_WATCHER_PASSWORD = "ajar";
	const redis = await startSentinels({ password: "sesame",
		sentinelPassword: "open",
		sentinelUser: "watcher on >ajar +@all" });
	const look = (password = "SENTINEL", ...more) => doctor(databaseUrl(postgres.url, "one"), "--set",
		`redis.url=${redis.url}`, "--set",
		"redis.password=env:T_REDIS_PASSWORD", "--set",
		`redis.sentinel_password=env:T_${password}_PASSWORD`, ...more).of;
	try {
		assert.equal(look()["redis.connect"][0], "ok");
		assert.equal(look()["redis.version"][0], "ok");
		assert.match(look("WATCHER")["redis.connect"].join(), /WRONGPASS/);
		assert.equal(look("WATCHER", "--set",
			"redis.sentinel_user=watcher")["redis.connect"][0], "ok");
	} finally {
		await redis.stop();
	}
	assert.equal(look()["redis.connect"][0], "fail");
});
