// SPDX-License-Identifier: Apache-2.0
//
// A tool in a chat that uses what the host offers: it reads a file that the
// person has uploaded, keeps a row, runs a program, talks over a socket, and
// writes a file that the person downloads.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { after, before, test } from "node:test";

import { messages, newThread, scene } from "../support/chat.mjs";
import { id, rows } from "../support/rows.mjs";
import { api, signUp, start } from "../support/server.mjs";
import { start as startModel } from "../support/stub_model.mjs";
import { connect } from "../support/ws.mjs";

const PLUGINS = `${process.env.BUILD_DIR}/tests/integration/plug/.libs`;
let server, stub, echo, s;

before(async () => {
	stub = await startModel({ key: "k" });
	echo = net.createServer((c) => c.on("error", () => {}).pipe(c));
	echo.listen(0, "127.0.0.1");
	await once(echo, "listening");
	server = await start({ env: { OPENAI_API_KEY: "k" }, set: [
		`plugins.dirs=["${PLUGINS}"]`,
		`plugins.llm_openai.base_url=${stub.url}/v1`,
		"plugins.llm_openai.enabled=true",
		"plugins.llm_openai.default_model=stub",
		"models.default=openai/stub",
		"files.max_user=4M",
		"plugins.toolkit_services.programs.cat=/bin/cat",
		"plugins.toolkit_services.programs.sh=/bin/sh",
		`plugins.toolkit_services.allow=["127.0.0.1:${echo.address().port}"]`,
	] });
	s = await scene(server, { toolkits: ["services"] });
});
after(async () => {
	await server?.stop();
	await stub?.stop();
	echo?.close();
});

// What the steps give, as the tool's result in the chat of a new thread.
async function enter() {
	const thread = await newThread(server, s.person, s.agent.id);
	const socket = await connect(server, thread.id, { token: s.token });
	await socket.type("snapshot");
	return { ...s, thread, socket };
}

async function play(mine, steps) {
	const turn = { tool_calls: [{ id: "call_1", name: "services_play",
		args: { steps } }] };
	mine.socket.send({ type: "message",
		content: `stub: ${JSON.stringify(turn)}` });
	const { run_id } = await mine.socket.until((f) =>
		f.type === "message_created" && f.message.role === "user",
	"the message");
	await mine.socket.stops(run_id);
	const tool = (await messages(server, mine)).findLast((m) =>
		m.role === "tool");
	return { run_id, result: tool.content };
}

const upload = (thread, query, raw, headers = {}, token = s.token) =>
	api(server, "POST", `/api/threads/${thread.id}/files${query}`,
		{ token, raw, headers });
const files = async (mine) => (await api(server, "GET",
	`/api/threads/${mine.thread.id}/files`, { token: s.token })).body.items;
const download = (id, headers = {}, token = s.token) =>
	fetch(`${server.url}/api/files/${id}`, {
		headers: { authorization: `Bearer ${token}`, ...headers } });

test("a tool with a table, a file, a program and a stream", async () => {
	const mine = await enter();
	const sent = await upload(mine.thread, "?name=notes%20%C3%BC.txt",
		"from the person", { "content-type": "text/plain" });
	assert.equal(sent.status, 201, JSON.stringify(sent.body));
	assert.equal(sent.headers.get("location"), `/api/files/${sent.body.id}`);
	assert.equal(sent.body.name, "notes \u00fc.txt");
	assert.equal(sent.body.tool, null);

	const { result, run_id } = await play(mine, [
		{ op: "read", id: sent.body.id },
		{ op: "migrate", steps: ["CREATE TABLE {}t (id BIGINT, s TEXT)"] },
		{ op: "exec", sql: "INSERT INTO {}t VALUES ($1, $2)",
			params: [7, "seven"] },
		{ op: "query", sql: "SELECT id, s FROM {}t" },
		{ op: "run", argv: ["cat"], input: "through a program" },
		{ op: "feed" },
		{ op: "hear" },
		{ op: "wait" },
		{ op: "connect", host: "127.0.0.1", port: echo.address().port },
		{ op: "say", text: "over a socket" },
		{ op: "listen", n: 13 },
		{ op: "write", name: "report.csv", type: "text/csv",
			text: "0123456789abcdef".repeat(100), times: 200 },
		{ op: "query", sql: "SELECT * FROM users" },
	]);
	const got = JSON.parse(result);
	assert.deepEqual(got.slice(0, 12), [
		{ len: 15, head: "from the person", st: 0 },
		{ st: 0 },
		{ changed: 1, st: 0 },
		{ rows: [{ id: 7, s: "seven" }], st: 0 },
		{ st: 0 },
		{ st: 0 },
		{ len: 17, out: "through a program", err: "", st: 16 },
		{ code: 0, st: 0 },
		{ st: 0 },
		{ st: 0 },
		{ len: 13, head: "over a socket", st: 0 },
		{ len: 320000, st: 0 },
	]);
	assert.ok([1, 3].includes(got[12].st), result);
	assert.equal(got[12].rows, undefined);

	const [report, notes] = await files(mine);
	assert.equal(notes.id, sent.body.id);
	assert.equal(report.name, "report.csv");
	assert.equal(report.run_id, run_id);
	assert.equal(report.tool, "services_play");
	assert.equal(report.tool_call_id, "call_1");
	const whole = "0123456789abcdef".repeat(20000);
	assert.equal(report.sha256,
		createHash("sha256").update(whole).digest("hex"));
	const answer = await download(report.id);
	assert.equal(answer.status, 200);
	assert.equal(answer.headers.get("content-type"), "text/csv");
	assert.equal(answer.headers.get("content-length"), "320000");
	assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
	assert.equal(answer.headers.get("content-disposition"),
		"attachment; filename*=UTF-8''report.csv");
	assert.equal(await answer.text(), whole);
	const part = await download(report.id, { range: "bytes=262140-262150" });
	assert.equal(part.status, 206);
	assert.equal(part.headers.get("content-range"),
		"bytes 262140-262150/320000");
	assert.equal(await part.text(), whole.slice(262140, 262151));
});

test("files are of their thread and person, and of what succeeds", async () => {
	const mine = await enter(), other = await enter();
	const stranger = await signUp(server);
	const { body: file } = await upload(mine.thread, "?name=a", "x");

	assert.equal((await download(file.id, {}, stranger.token)).status, 404);
	assert.equal((await upload(mine.thread, "?name=b", "x", {},
		stranger.token)).status, 404);
	const elsewhere = await play(other, [{ op: "read", id: file.id }]);
	assert.equal(JSON.parse(elsewhere.result)[0].st, 4);
	const failed = await play(mine, [
		{ op: "write", name: "lost", text: "x" },
		{ op: "fail", must: true }]);
	assert.match(failed.result, /asked to fail/);
	assert.deepEqual((await files(mine)).map((f) => f.name), ["a"]);
	for (const query of ["", "?name=..", "?name=a%2Fb"])
		assert.equal((await upload(mine.thread, query, "x")).status, 400,
			query);
	// Refused by its length: who sends on meanwhile may find a closed door.
	const request = http.request(
		`${server.url}/api/threads/${mine.thread.id}/files?name=big`, {
			method: "POST", headers: { authorization: `Bearer ${s.token}`,
				"content-length": 17 * 1024 * 1024 } });
	request.on("error", () => {});
	request.flushHeaders();
	const [answer] = await once(request, "response");
	assert.equal(answer.statusCode, 413);
	request.destroy();
});

test("a person's files have a limit, whoever is first, and may be deleted", async () => {
	const mine = await scene(server, {});
	const second = await newThread(server, mine.person, mine.agent.id);
	const half = "x".repeat(512 * 1024);
	const send = (thread, name) => upload(thread, `?name=${name}`, half, {},
		mine.token);
	const all = await Promise.all(Array.from({ length: 12 }, (_, n) =>
		send(n % 2 ? mine.thread : second, `f${n}`)));
	const kept = all.filter((a) => a.status === 201).map((a) => a.body);
	const refused = all.filter((a) => a.status !== 201);
	assert.equal(kept.length, 8);
	for (const { status, body } of refused) {
		assert.equal(status, 413);
		assert.match(body.detail, /at most 4 MiB \(files\.max_user\)/);
	}

	const remove = (id, token) => api(server, "DELETE", `/api/files/${id}`,
		{ token });
	const stranger = await signUp(server);
	assert.equal((await remove(kept[0].id, stranger.token)).status, 404);
	assert.equal((await remove(kept[0].id, mine.token)).status, 204);
	assert.equal((await remove(kept[0].id, mine.token)).status, 404);
	assert.equal((await download(kept[0].id, {}, mine.token)).status, 404);
	assert.equal(rows(server, "SELECT count(*) AS n FROM file_pieces WHERE " +
		`file_id = ${id(server, kept[0].id)}`)[0].n, 0);
	assert.equal((await send(second, "again")).status, 201);
	assert.equal((await send(second, "more")).status, 413);
});

test("a result that is too long becomes a file", async () => {
	const mine = await enter();
	const { run_id, result } = await play(mine, [{ op: "query",
		sql: "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n" +
			" WHERE i < 6000) SELECT i, 'sixty characters of nothing, so that" +
			" rows add up to something' AS s FROM n" }]);
	assert.ok(result.length < 256 * 1024 && result.length > 128 * 1024);
	assert.ok(result.startsWith('[{"rows":[{"i":1,"s":'), result.slice(0, 80));
	assert.ok(result.endsWith('],"st":0}]'), result.slice(-80));
	const [file] = await files(mine);
	const [note] = result.match(/\n\[\d+ of \d+ bytes are left out here; .*\]\n/);
	assert.ok(note.includes(` of ${file.length} bytes`), note);
	assert.ok(note.includes(`${file.name} of this thread, ${file.id}]`), note);
	assert.equal(file.name, "services_play.json");
	assert.equal(file.run_id, run_id);
	assert.equal(file.tool_call_id, "call_1");
	const [{ rows }] = await (await download(file.id)).json();
	assert.equal(rows.length, 6000);
	assert.equal(rows[5999].i, 6000);
	const { status, stdout, stderr } = server.command("replay", run_id);
	assert.equal(status, 0, stdout + stderr);
});
