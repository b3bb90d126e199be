/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_FAILPOINT_CONTROL_H
#define CORE_NET_FAILPOINT_CONTROL_H

/*
 * Failpoints of a process that runs already: if AGENT_STUDIO_FAILPOINT_SOCKET
 * names a path, a thread listens there on a Unix socket.  A client sends lines
 *
 *	name=action[,option...][;...]	as AGENT_STUDIO_FAILPOINTS
 *	clear				no actions, no counts
 *	clock MICROSECONDS		SQLite's now_us() is ahead by these
 *	hits				answered with lines "name count"
 *
 * and gets "ok" for each, or "error: " and why.  Only in a build with
 * --enable-failpoints.  Called once, before other threads run.
 */

#ifdef FAILPOINTS
#define FAILPOINT_CONTROL() failpoint_control_start()
#else
#define FAILPOINT_CONTROL() ((void)0)
#endif

void failpoint_control_start(void);

#endif
