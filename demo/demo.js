// The demo: sign in, make an agent, chat, see the stream and the tools.
// Plain modules, no build step.  The session is an HttpOnly cookie.
import { api, ApiError } from "./api.js";
import { ThreadSocket } from "./socket.js";
import { Transcript } from "./transcript.js";

const $ = (id) => document.getElementById(id);
const state = { user: null, agents: [], threads: [], agent: null, thread: null, socket: null, live: false, run: null, edited: null };
const blocked = new Set(); // runs that wait for their turn
const cancel = (run) => state.socket.send({ type: "cancel", run_id: run });
const transcript = new Transcript($("messages"), () => state.user, { cancel, edit, again, look });
// A parked run does not keep anybody from writing.
const works = (run) => (run === null || run.status === "end" || run.status === "recoverable_error" ||
	run.state === "recoverable_error" ? null : run.run_id ?? run.id);

// ---- Signing in

async function start() {
	try {
		state.user = await api("GET", "/api/auth/me");
	} catch (e) {
		if (!(e instanceof ApiError) || e.status !== 401)
			$("sign-in-error").textContent = e.message;
		$("sign-in").hidden = false;
		return;
	}
	$("sign-in").hidden = true;
	$("app").hidden = false;
	$("who").textContent = state.user.display_name || state.user.email;
	await load();
}

$("sign-in-form").addEventListener("submit", async (event) => {
	event.preventDefault();
	const form = new FormData(event.target);
	const verb = event.submitter?.value ?? "login";
	$("sign-in-error").textContent = "";
	try {
		await api("POST", `/api/auth/${verb}`, { email: form.get("email"), password: form.get("password") });
		await start();
	} catch (e) {
		$("sign-in-error").textContent = e.message;
	}
});

$("logout").addEventListener("click", async () => {
	state.socket?.close(); // the server would end it, and it would ask why
	try {
		await api("POST", "/api/auth/logout");
	} finally {
		location.reload();
	}
});

// ---- Lists

function listItem(label, current, onClick) {
	const li = document.createElement("li");
	const button = document.createElement("button");
	button.textContent = label;
	button.title = label;
	button.setAttribute("aria-current", String(current));
	button.addEventListener("click", onClick);
	li.append(button);
	return li;
}

function draw() {
	$("agents").replaceChildren(...state.agents.map((a) => listItem(a.name, a.id === state.agent?.id, () => pickAgent(a))));
	$("threads").replaceChildren(...state.threads.map((t) =>
		listItem(t.title || "New conversation", t.id === state.thread?.id, () => openThread(t))));
	$("agent-name").textContent = state.agent?.name ?? "No agent yet";
	$("agent-detail").textContent = state.agent
		? [state.agent.model_name ?? "default model", ...state.agent.toolkits].join(" · ") : "";
	$("new-thread").disabled = !state.agent;
	$("empty").hidden = !transcript.isEmpty() || !state.thread;
	const running = state.run !== null;
	$("send").hidden = running && state.edited === null;
	$("queue").hidden = !running || state.edited !== null;
	$("steer").hidden = !running || state.edited !== null;
	$("stop").hidden = !running;
	// A run holds its thread: another branch has to wait for it.
	for (const sign of $("messages").querySelectorAll(".sign:not([name=edit])"))
		sign.disabled = running || sign.hasAttribute("data-end");
	$("editing").hidden = state.edited === null;
	for (const button of [$("send"), $("queue"), $("steer"), $("stop"), ...$("empty").querySelectorAll("button")])
		button.disabled = !state.live;
}

async function load() {
	state.agents = (await api("GET", "/api/agents/")).items;
	if (state.agents.length === 0)
		await askForAgent();
	else
		await pickAgent(state.agents[0]);
}

async function pickAgent(agent) {
	state.agent = agent;
	state.threads = (await api("GET", `/api/chat/sessions?agent_id=${agent.id}`)).items;
	if (state.threads.length === 0)
		await newThread();
	else
		await openThread(state.threads[0]);
}

async function newThread() {
	const thread = await api("POST", "/api/chat/sessions", { agent_id: state.agent.id });
	state.threads.unshift(thread);
	await openThread(thread);
}

$("new-thread").addEventListener("click", newThread);

// ---- A new agent

async function askForAgent() {
	const [models, toolkits] = await Promise.all([api("GET", "/api/models"), api("GET", "/api/toolkits/")]);
	const select = $("agent-form").elements.model_name;
	select.replaceChildren(new Option("The default model", ""),
		...models.items.filter((m) => m.dim === null).map((m) => new Option(`${m.title} (${m.id})`, m.id)));
	$("toolkits").replaceChildren(...toolkits.items.map((t) => {
		const label = document.createElement("label");
		const box = Object.assign(document.createElement("input"),
			{ type: "checkbox", name: "toolkits", value: t.slug, checked: t.slug !== "http" });
		label.append(box, `${t.name}: ${t.description}`);
		return label;
	}));
	$("agent-error").textContent = "";
	$("agent-dialog").showModal();
	draw();
}

$("new-agent").addEventListener("click", askForAgent);

$("agent-form").addEventListener("submit", async (event) => {
	if (event.submitter?.value !== "create")
		return;
	event.preventDefault();
	const form = new FormData(event.target);
	try {
		const agent = await api("POST", "/api/agents/", {
			name: form.get("name"),
			system_prompt: form.get("system_prompt"),
			model_name: form.get("model_name") || null,
			toolkits: form.getAll("toolkits"),
		});
		$("agent-dialog").close();
		state.agents.unshift(agent);
		await pickAgent(agent);
	} catch (e) {
		$("agent-error").textContent = e.message;
	}
});

// ---- The conversation

function showStatus(text, kind = "") {
	$("status").textContent = text;
	$("status").className = `badge ${kind}`;
	state.live = kind === "live";
	draw();
}

async function openThread(thread) {
	state.socket?.close();
	state.thread = thread;
	state.run = null;
	state.edited = null;
	blocked.clear();
	transcript.clear();
	state.socket = new ThreadSocket(thread.id, { onFrame, onState: showStatus });
	draw();
}

function onFrame(frame) {
	transcript.apply(frame);
	if (frame.type === "snapshot") {
		state.run = works(frame.run);
		for (const m of frame.messages)
			if (m.state === "staged")
				blocked.add(m.run_id);
		showBranches();
	}
	if (frame.type === "run_status" && !frame.ns)
		follow(frame);
	draw();
}

// What happens to a run that waits says nothing about the one at work.
function follow(frame) {
	if (frame.state === "blocked") {
		blocked.add(frame.run_id);
		return;
	}
	if (blocked.delete(frame.run_id) && frame.status === "end")
		return;
	state.run = works(frame);
	if (frame.status === "end") {
		refreshTitle();
		showBranches();
	}
}

// ---- Branches

async function showBranches() {
	const thread = state.thread;
	try {
		const { items } = await api("GET", `/api/chat/sessions/${thread.id}/branches`);
		if (thread !== state.thread)
			return;
		transcript.showBranches(items);
		draw();
	} catch (e) {
		transcript.apply({ type: "error", code: e.code, message: e.message });
	}
}

// Another branch is another history: the thread is opened anew.
async function branch(method, path, body) {
	try {
		await api(method, `/api/chat/sessions/${state.thread.id}${path}`, body);
		await openThread(state.thread);
		return true;
	} catch (e) {
		transcript.apply({ type: "error", code: e.code, message: e.message });
		return false;
	}
}

function again(message) {
	return branch("POST", `/messages/${message.id}/regenerate`);
}

function look(id) {
	return branch("PUT", "/active_leaf", { message_id: id });
}

function edit(message) {
	const box = $("composer").elements.content;
	state.edited = message;
	box.value = message.content;
	box.focus();
	draw();
}

$("edit-cancel").addEventListener("click", () => {
	state.edited = null;
	$("composer").elements.content.value = "";
	draw();
});

async function refreshTitle() {
	if (state.thread.title)
		return;
	const { title } = await api("GET", `/api/chat/sessions/${state.thread.id}?limit=1`);
	state.thread.title = title;
	draw();
}

$("composer").addEventListener("submit", async (event) => {
	event.preventDefault();
	const box = event.target.elements.content;
	if (box.value.trim() === "")
		return;
	if (state.edited !== null) {
		const body = { content: box.value, edit_of: state.edited.id };
		if (state.run !== null) // its answer is of no use any more
			body.multitask = "interrupt";
		if (await branch("POST", "", body))
			box.value = "";
		return;
	}
	// While a run is at work it waits for its turn, or the run hears it.
	const frame = { type: "message", content: box.value, client_message_id: crypto.randomUUID() };
	if (event.submitter === $("steer"))
		frame.multitask = "steer";
	if (state.socket.send(frame))
		box.value = "";
});

$("composer").elements.content.addEventListener("keydown", (event) => {
	if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
		event.preventDefault();
		$("composer").requestSubmit();
	}
});

// What to ask first: a click asks it.
for (const button of $("empty").querySelectorAll("button"))
	button.addEventListener("click", () => {
		$("composer").elements.content.value = button.textContent;
		$("composer").requestSubmit();
	});

$("stop").addEventListener("click", () => {
	if (state.run !== null)
		cancel(state.run);
});

start();
