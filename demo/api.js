// REST: one function, errors as exceptions with the server's own sentence.

export class ApiError extends Error {
	constructor(status, body) {
		const fields = Object.entries(body?.details ?? {}).map(([k, v]) => `${k} ${v.join(", ")}`);
		super([body?.error ?? `HTTP ${status}`, body?.detail, ...fields].filter(Boolean).join(": "));
		this.status = status;
		this.code = body?.code;
	}
}

export async function api(method, path, body) {
	const response = await fetch(path, {
		method,
		credentials: "same-origin",
		headers: body === undefined ? {} : { "content-type": "application/json" },
		body: body === undefined ? undefined : JSON.stringify(body),
	});
	// A proxy in between answers with a page when nobody is behind it.
	const json = /json/.test(response.headers.get("content-type")) ? await response.json() : null;
	if (!response.ok)
		throw new ApiError(response.status, json);
	return json;
}
