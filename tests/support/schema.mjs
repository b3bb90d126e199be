// SPDX-License-Identifier: Apache-2.0
//
// JSON Schema 2020-12 as far as the OpenAPI document uses it: problems(schema,
// value, root) gives a list of sentences, empty if the value fits.  A keyword
// that is not known here is a problem too, and so is a member that the schema
// does not name, unless it says what further members are.

const SILENT = new Set(["title", "description", "default", "examples", "readOnly",
	"writeOnly", "deprecated", "$comment"]);
const FORMATS = {
	uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
	"date-time": /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
	email: /^[^@\s]+@[^@\s]+$/,
	uri: /^[a-z][a-z0-9+.-]*:/,
};

export function resolve(ref, root) {
	if (!ref.startsWith("#/"))
		return undefined;
	return ref.slice(2).split("/").reduce((at, name) =>
		at?.[name.replaceAll("~1", "/").replaceAll("~0", "~")], root);
}

function typeOf(value) {
	if (value === null)
		return "null";
	if (Array.isArray(value))
		return "array";
	return Number.isInteger(value) ? "integer" : typeof value;
}

const isType = (value, name) => typeOf(value) === name ||
	(name === "number" && typeof value === "number");

// Names of members that a schema describes, itself or through what it joins.
function described(schema, root) {
	const parts = [...(schema.allOf ?? [])];
	if (schema.$ref)
		parts.push(resolve(schema.$ref, root) ?? {});
	return new Set([...Object.keys(schema.properties ?? {}),
		...parts.flatMap((p) => [...described(p, root)])]);
}

function checkObject(schema, value, root, at, out, names) {
	const known = schema.properties ?? {};
	for (const name of schema.required ?? [])
		if (!Object.hasOwn(value, name))
			out.push(`${at}: ${name} is missing`);
	for (const [name, member] of Object.entries(value)) {
		const rest = schema.additionalProperties;
		if (Object.hasOwn(known, name))
			check(known[name], member, root, `${at}/${name}`, out);
		else if (rest !== null && typeof rest === "object")
			check(rest, member, root, `${at}/${name}`, out);
		else if (rest === false || (rest === undefined && schema.properties &&
		    !names.has(name)))
			out.push(`${at}: ${name} is not described`);
	}
}

const keywords = {
	type: (want, v) => [want].flat().some((t) => isType(v, t)),
	enum: (list, v) => list.some((x) => x === v),
	const: (want, v) => want === v,
	minimum: (n, v) => typeof v !== "number" || v >= n,
	maximum: (n, v) => typeof v !== "number" || v <= n,
	minLength: (n, v) => typeof v !== "string" || [...v].length >= n,
	maxLength: (n, v) => typeof v !== "string" || [...v].length <= n,
	minItems: (n, v) => !Array.isArray(v) || v.length >= n,
	maxItems: (n, v) => !Array.isArray(v) || v.length <= n,
	uniqueItems: (on, v) => !on || !Array.isArray(v) ||
		new Set(v.map((x) => JSON.stringify(x))).size === v.length,
	pattern: (text, v) => typeof v !== "string" || new RegExp(text, "u").test(v),
	format: (name, v) => typeof v !== "string" ||
		(FORMATS[name]?.test(v) ?? false),
};

function check(schema, value, root, at, out, joined = new Set()) {
	const names = new Set([...joined, ...described(schema, root)]);

	if (schema === true)
		return;
	if (schema === false) {
		out.push(`${at}: nothing fits`);
		return;
	}
	for (const [word, arg] of Object.entries(schema)) {
		if (SILENT.has(word) || ["required", "properties",
			"additionalProperties"].includes(word))
			continue;
		if (word === "$ref") {
			const target = resolve(arg, root);
			if (target === undefined)
				out.push(`${at}: ${arg} leads nowhere`);
			else
				check(target, value, root, at, out, names);
		} else if (word === "items") {
			if (Array.isArray(value))
				value.forEach((v, i) => check(arg, v, root, `${at}/${i}`, out));
		} else if (word === "allOf") {
			for (const part of arg)
				check(part, value, root, at, out, names);
		} else if (word === "anyOf" || word === "oneOf") {
			const fits = arg.filter((s) => problems(s, value, root).length === 0);
			if (fits.length === 0 || (word === "oneOf" && fits.length > 1))
				out.push(`${at}: ${fits.length} of ${word} fit`);
		} else if (keywords[word] === undefined)
			out.push(`${at}: unknown keyword ${word}`);
		else if (!keywords[word](arg, value))
			out.push(`${at}: ${word} ${JSON.stringify(arg)}: ` +
				JSON.stringify(value)?.slice(0, 80));
	}
	if (typeOf(value) === "object" &&
	    (schema.properties || schema.required || schema.additionalProperties !== undefined))
		checkObject(schema, value, root, at, out, names);
}

export function problems(schema, value, root) {
	const out = [];
	check(schema, value, root, "", out);
	return out;
}
