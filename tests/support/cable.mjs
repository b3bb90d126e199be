// SPDX-License-Identifier: Apache-2.0
//
// A TCP port in front of a Unix socket, which can fall silent as a cable does
// that was cut: nothing comes through, and nothing is closed.
//
//   const cable = await startCable("/tmp/x/.s.PGSQL.5432");
//   cable.port
//   cable.silence();     new connections are taken, and hear nothing, too
//   cable.go();          what was silent is reset, new connections come through
//   await cable.stop();

import { connect, createServer } from "node:net";

class Cable {
	constructor(path) {
		this.path = path;
		this.silent = false;
		this.pairs = new Set();
		this.server = createServer({ pauseOnConnect: true }, (near) =>
			this.take(near));
	}

	listen() {
		return new Promise((resolve, reject) => {
			this.server.on("error", reject);
			this.server.listen(0, "127.0.0.1", () => {
				this.port = this.server.address().port;
				resolve(this);
			});
		});
	}

	take(near) {
		const pair = { near, far: this.silent ? null : connect(this.path) };

		this.pairs.add(pair);
		near.on("error", () => this.drop(pair));
		near.on("close", () => this.drop(pair));
		if (!pair.far)
			return;
		pair.far.on("error", () => this.lose(pair));
		pair.far.on("close", () => this.lose(pair));
		near.pipe(pair.far);
		pair.far.pipe(near);
	}

	// The far end is gone: who is behind a cut cable does not hear of it.
	lose(pair) {
		if (!this.silent)
			this.drop(pair);
	}

	drop(pair) {
		this.pairs.delete(pair);
		pair.near.destroy();
		pair.far?.destroy();
	}

	silence() {
		this.silent = true;
		for (const { near, far } of this.pairs) {
			near.unpipe();
			far?.unpipe();
			near.pause();
			far?.pause();
		}
	}

	go() {
		this.silent = false;
		for (const pair of [...this.pairs])
			this.drop(pair);
	}

	async stop() {
		this.go();
		await new Promise((done) => this.server.close(done));
	}
}

export function startCable(path) {
	return new Cable(path).listen();
}
