// SPDX-License-Identifier: Apache-2.0
//
// A port of 127.0.0.1 that nobody has, for a program that has to be told one.
// Another process may take it first: who starts the program tries again then.

import { createServer } from "node:net";

export function freePort() {
	return new Promise((resolve, reject) => {
		const server = createServer();
		server.on("error", reject);
		server.listen(0, "127.0.0.1", () => {
			const { port } = server.address();
			server.close(() => resolve(port));
		});
	});
}
