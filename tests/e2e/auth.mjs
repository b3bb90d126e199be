// SPDX-License-Identifier: Apache-2.0
// Accounts, sessions and their three credentials, over HTTP.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { api, signUp, start } from "../support/server.mjs";

let server;
let admin;

before(async () => {
	server = await start({ set: ["auth.attempts=3"] });
	admin = await signUp(server, "Admin@Example.org");
});
after(() => server?.stop());

const me = (how) => api(server, "GET", "/api/auth/me", how);

function assertError(answer, status, code) {
	assert.equal(answer.status, status, JSON.stringify(answer.body));
	assert.equal(answer.body.code, code);
	assert.equal(answer.body.status, status);
	for (const name of ["error", "title", "detail", "type", "instance",
		"correlation_id"])
		assert.equal(typeof answer.body[name], "string", name);
	assert.equal(answer.body.type, "urn:agent-studio:error:" +
		code.toLowerCase().replaceAll("_", "-"));
	assert.equal(answer.headers.get("x-correlation-id"),
		answer.body.correlation_id);
}

test("the first account is the admin, the next is a member", async () => {
	assert.equal(admin.user.role, "admin");
	assert.equal(admin.user.email, "admin@example.org");
	assert.equal(admin.user.display_name, "admin");
	assert.equal(admin.user.avatar_url, null);
	assert.match(admin.user.created_at,
		/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
	assert.equal(admin.token_type, "bearer");
	assert.equal(admin.expires_in, 900);
	assert.equal((await signUp(server)).user.role, "member");
});

test("the cookie is what it should be", async () => {
	const answer = await api(server, "POST", "/api/auth/login", {
		body: { email: "admin@example.org", password: admin.password },
	});
	assert.equal(answer.status, 200);
	assert.match(answer.headers.get("set-cookie"),
		/^agent_studio=[\w-]{43}; HttpOnly; SameSite=Strict; Path=\/$/);
});

test("behind https it is secure", async () => {
	const other = await start({
		set: ["server.public_url=https://studio.example.org"],
	});
	try {
		const answer = await api(other, "POST", "/api/auth/signup", {
			body: { email: "a@b.co", password: "12345678" },
		});
		assert.match(answer.headers.get("set-cookie"), /; Secure$/);
	} finally {
		await other.stop();
	}
});

test("the same address, written otherwise, is taken", async () => {
	assertError(await api(server, "POST", "/api/auth/signup", {
		body: { email: "ADMIN@example.org", password: "12345678" },
	}), 409, "EMAIL_TAKEN");
});

test("what is wrong with a sign-up is said by field", async () => {
	const answer = await api(server, "POST", "/api/auth/signup", {
		body: { email: "nobody", passwort: "x" },
	});
	assertError(answer, 400, "VALIDATION_FAILED");
	assert.equal(answer.body.error, "Validation failed");
	assert.deepEqual(Object.keys(answer.body.details).sort(),
		["email", "password", "passwort"]);
	const short = await api(server, "POST", "/api/auth/signup", {
		body: { email: "x@example.org", password: "1234567" },
	});
	assertError(short, 400, "VALIDATION_FAILED");
	assert.ok(short.body.details.password);
	const nul = await api(server, "POST", "/api/auth/signup", {
		body: { email: "x@example.org", password: "12345678\0" },
	});
	assertError(nul, 400, "VALIDATION_FAILED");
});

test("bodies that are none", async () => {
	const post = (raw, type) => api(server, "POST", "/api/auth/login",
		{ raw, headers: { "content-type": type } });
	assertError(await post("{", "application/json"), 400, "MALFORMED_JSON");
	assertError(await post("{}", "text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE");
	assertError(await post("[]", "application/json"), 400, "VALIDATION_FAILED");
	assertError(await post(`{"email":"${"x".repeat(9000)}"}`,
		"application/json"), 413, "TOO_LARGE");
});

test("token and cookie say who it is; nothing is nobody", async () => {
	assert.equal((await me({ token: admin.token })).body.id, admin.user.id);
	assert.equal((await me({ cookie: admin.cookie })).body.id, admin.user.id);
	const none = await me();
	assertError(none, 401, "AUTH_REQUIRED");
	assert.equal(none.body.error, "Unauthorized");
	assert.ok(none.headers.get("www-authenticate"));
	assertError(await me({ token: "x.y.z" }), 401, "AUTH_REQUIRED");
	assertError(await me({ cookie: "agent_studio=nonsense" }), 401,
		"AUTH_REQUIRED");
	assertError(await me({ headers: { authorization: "Basic eDp5" } }), 401,
		"AUTH_REQUIRED");
});

test("Authorization wins over the cookie", async () => {
	const other = await signUp(server);
	const answer = await me({ token: other.token, cookie: admin.cookie });
	assert.equal(answer.body.id, other.user.id);
	assertError(await me({ token: "bad", cookie: admin.cookie }), 401,
		"AUTH_REQUIRED");
});

test("a token with another algorithm is nobody's", async () => {
	const [, claims] = admin.token.split(".");
	const header = Buffer.from('{"alg":"none","typ":"JWT"}')
		.toString("base64url");
	for (const forged of [`${header}.${claims}.`, `${admin.token}=`,
		admin.token.slice(0, -2)])
		assertError(await me({ token: forged }), 401, "AUTH_REQUIRED");
});

test("log-out ends token, cookie and refresh token at once", async () => {
	const p = await signUp(server);
	assert.equal((await me({ token: p.token })).status, 200);
	assert.equal((await me({ cookie: p.cookie })).status, 200);
	const out = await api(server, "POST", "/api/auth/logout",
		{ token: p.token });
	assert.equal(out.status, 204);
	assert.match(out.headers.get("set-cookie"), /^agent_studio=; .*Max-Age=0/);
	assertError(await me({ token: p.token }), 401, "AUTH_REQUIRED");
	assertError(await me({ cookie: p.cookie }), 401, "AUTH_REQUIRED");
	const again = await api(server, "POST", "/api/auth/refresh",
		{ body: { refresh_token: p.refresh_token } });
	assert.equal(again.status, 401);
});

test("a refresh token works once; twice ends the session", async () => {
	const p = await signUp(server);
	const refresh = (t) => api(server, "POST", "/api/auth/refresh",
		{ body: { refresh_token: t } });
	const next = await refresh(p.refresh_token);
	assert.equal(next.status, 200);
	assert.equal((await me({ token: next.body.access_token })).status, 200);
	assertError(await refresh(p.refresh_token), 401, "TOKEN_REUSED");
	assertError(await me({ token: next.body.access_token }), 401,
		"AUTH_REQUIRED");
	assert.equal((await refresh(next.body.refresh_token)).status, 401);
	assertError(await refresh("never-was"), 401, "AUTH_REQUIRED");
});

test("a browser refreshes with its cookie and no body", async () => {
	const p = await signUp(server);
	const answer = await api(server, "POST", "/api/auth/refresh",
		{ cookie: p.cookie });
	assert.equal(answer.status, 200, JSON.stringify(answer.body));
	assert.equal(answer.cookie, p.cookie);
	assert.equal((await me({ cookie: p.cookie })).status, 200);
	assert.equal(
		(await me({ token: answer.body.access_token })).status, 200);
	assertError(await api(server, "POST", "/api/auth/refresh"), 401,
		"AUTH_REQUIRED");
});

test("a cookie from another site's page changes nothing", async () => {
	const p = await signUp(server);
	const patch = (headers) => api(server, "PATCH", "/api/auth/me",
		{ cookie: p.cookie, headers, body: { display_name: "x" } });
	assertError(await patch({ origin: "https://evil.example" }), 403,
		"ORIGIN_FORBIDDEN");
	assertError(await patch({ "sec-fetch-site": "cross-site" }), 403,
		"ORIGIN_FORBIDDEN");
	assert.equal((await patch({ origin: server.url })).status, 200);
	assert.equal((await patch({})).status, 200);
	const bearer = await api(server, "PATCH", "/api/auth/me", {
		token: p.token,
		headers: { origin: "https://evil.example" },
		body: { display_name: "y" },
	});
	assert.equal(bearer.status, 200);
});

test("the profile can be changed, what is read-only not", async () => {
	const p = await signUp(server);
	const patch = (body) => api(server, "PATCH", "/api/auth/me",
		{ token: p.token, body });
	let answer = await patch({ display_name: "Ada",
		avatar_url: "https://example.org/a.png" });
	assert.equal(answer.status, 200);
	assert.equal(answer.body.display_name, "Ada");
	answer = await patch(answer.body);
	assert.equal(answer.status, 200, JSON.stringify(answer.body));
	assertError(await patch({ role: "admin" }), 400, "VALIDATION_FAILED");
	assertError(await patch({ avatar_url: "javascript:1" }), 400,
		"VALIDATION_FAILED");
	assertError(await patch({ nonsense: 1 }), 400, "VALIDATION_FAILED");
});

test("a new password ends the other sessions", async () => {
	const p = await signUp(server);
	const logIn = (password) => api(server, "POST", "/api/auth/login",
		{ body: { email: p.email, password } });
	const other = await logIn(p.password);
	assertError(await api(server, "PATCH", "/api/auth/me", { token: p.token,
		body: { password: "another password" } }), 400,
		"VALIDATION_FAILED");
	assertError(await api(server, "PATCH", "/api/auth/me", { token: p.token,
		body: { password: "another password", current_password: "no" },
	}), 401, "INVALID_CREDENTIALS");
	const answer = await api(server, "PATCH", "/api/auth/me", {
		token: p.token,
		body: { password: "another password",
			current_password: p.password },
	});
	assert.equal(answer.status, 200, JSON.stringify(answer.body));
	assert.equal((await me({ token: p.token })).status, 200);
	assertError(await me({ token: other.body.access_token }), 401,
		"AUTH_REQUIRED");
	assertError(await logIn(p.password), 401, "INVALID_CREDENTIALS");
	assert.equal((await logIn("another password")).status, 200);
});

test("a client may call itself anything", async () => {
	for (const agent of ["", "\u00ff\u00fe", "x".repeat(2000), "\u00e9"]) {
		const answer = await api(server, "POST", "/api/auth/login", {
			body: { email: admin.email, password: admin.password },
			headers: { "user-agent": agent },
		});
		assert.equal(answer.status, 200, JSON.stringify(answer.body));
	}
});

test("guesses are limited", async () => {
	const p = await signUp(server);
	const guess = (password) => api(server, "POST", "/api/auth/login",
		{ body: { email: p.email, password } });
	for (let i = 0; i < 3; i++)
		assertError(await guess(`guess ${i}`), 401, "INVALID_CREDENTIALS");
	const refused = await guess(p.password);
	assertError(refused, 429, "RATE_LIMITED");
	assert.ok(Number(refused.headers.get("retry-after")) > 0);
	assert.ok(refused.body.retry_after > 0);
	const nobody = await api(server, "POST", "/api/auth/login",
		{ body: { email: "nobody@example.org", password: "12345678" } });
	assertError(nobody, 401, "INVALID_CREDENTIALS");
});

test("sessions, accounts and the throttle survive kill -9", async () => {
	const other = await start({ set: ["auth.attempts=2"] });
	try {
		const p = await signUp(other);
		for (let i = 0; i < 2; i++)
			await api(other, "POST", "/api/auth/login", { body: {
				email: p.email, password: "wrong wrong" } });
		await other.kill9();
		await other.restart();
		const answer = await api(other, "GET", "/api/auth/me",
			{ token: p.token });
		assert.equal(answer.body.email, p.email);
		assertError(await api(other, "POST", "/api/auth/login", { body: {
			email: p.email, password: p.password } }), 429,
			"RATE_LIMITED");
	} finally {
		await other.stop();
	}
});

test("where sign-up is closed, the first may come", async () => {
	const other = await start({ set: ["auth.signup=closed"] });
	try {
		assert.equal((await signUp(other)).user.role, "admin");
		assertError(await api(other, "POST", "/api/auth/signup", { body: {
			email: "b@example.org", password: "12345678" } }), 403,
			"SIGNUP_CLOSED");
	} finally {
		await other.stop();
	}
});

test("by invitation, the admin makes accounts", async () => {
	const other = await start({ set: ["auth.signup=invite"] });
	try {
		const boss = await signUp(other);
		const body = { email: "b@example.org", password: "12345678" };
		assertError(await api(other, "POST", "/api/auth/signup",
			{ body }), 403, "SIGNUP_CLOSED");
		const made = await api(other, "POST", "/api/auth/signup",
			{ body, token: boss.token });
		assert.equal(made.status, 201);
		assert.equal(made.body.user.role, "member");
		/* The admin's browser stays the admin's. */
		assert.equal(made.cookie, null);
	} finally {
		await other.stop();
	}
});

test("eight sign up at once as the first: one admin", async () => {
	const other = await start();
	try {
		const all = await Promise.all([..."abcdefgh"].map((c) =>
			signUp(other, `${c}@race.example.org`)));
		assert.equal(all.filter((p) => p.user.role === "admin").length, 1);
	} finally {
		await other.stop();
	}
});
