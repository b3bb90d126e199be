// SPDX-License-Identifier: Apache-2.0
//
// The store's clock, as a test sets it.  It goes on from there; runs and sockets
// live by other clocks and notice nothing.
//
//   const clock = new Clock("2026-03-28T12:00:00Z");
//   const server = await start({ env: clock.env() });
//   await clock.begin(server);     on PostgreSQL, once there is a database
//   await clock.set(server, "2026-03-29T01:00:00Z");
//   clock.env()                    for the next process
//
// SQLite's is that of the process, which must be built with --enable-failpoints.

import net from "node:net";
import { join } from "node:path";
import { tmpdir } from "node:os";

import { ask } from "./server.mjs";

let n = 0;

export class Clock {
	constructor(time) {
		this.socket = join(tmpdir(), `clock-${process.pid}-${++n}`);
		this.move(time);
	}

	move(time) {
		this.ahead = (Date.parse(time) - Date.now()) * 1000;
	}

	now() {
		return new Date(Date.now() + this.ahead / 1000);
	}

	env() {
		return { AGENT_STUDIO_CLOCK_AHEAD_US: String(this.ahead),
			AGENT_STUDIO_FAILPOINT_SOCKET: this.socket };
	}

	async begin(server) {
		if (server.database)
			this.replace(server);
	}

	// One transaction: those who live are not dead because time has passed.
	replace(server) {
		ask(server, "UPDATE nodes SET beat_at = beat_at - now_us(), " +
			"lease_expires_at = lease_expires_at - now_us(); CREATE OR REPLACE FUNCTION now_us() RETURNS bigint " +
			"LANGUAGE sql STABLE AS 'SELECT (extract(epoch FROM " +
			`statement_timestamp()) * 1000000)::bigint + ${this.ahead}'; ` +
			"UPDATE nodes SET beat_at = beat_at + now_us(), " +
			"lease_expires_at = lease_expires_at + now_us()");
	}

	async set(server, time) {
		this.move(time);
		if (server.database)
			this.replace(server);
		else
			await this.tell(`clock ${this.ahead}`);
	}

	tell(line) {
		return new Promise((resolve, reject) => {
			const socket = net.connect(this.socket);
			socket.on("error", reject);
			socket.on("data", (bytes) => {
				socket.destroy();
				if (bytes.toString() === "ok\n")
					resolve();
				else
					reject(new Error(bytes.toString()));
			});
			socket.write(`${line}\n`);
		});
	}
}
