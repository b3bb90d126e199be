// SPDX-License-Identifier: Apache-2.0
//
// The long form of the drill of the full queue: the seconds are the argument;
// the table goes to standard output as JSON.

import { overload } from "../support/overload.mjs";

const { table } = await overload({ slots: 16, run_ms: 400, idle: 40,
	seconds: Number(process.argv[2] ?? 20), promote_ms: 5000 });
console.log(JSON.stringify(table));
