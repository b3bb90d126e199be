/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AS_SDK_VERSION_H
#define AS_SDK_VERSION_H

/*
 * The version of the contract, and everything that ever changed in it.
 *
 * The rule, whole: a plugin loads if its major equals the host's and its minor
 * is not above the host's.  Two things follow, and they are why plugin code
 * needs no version checks:
 *
 *   - a plugin never meets a host function that is not there;
 *   - a host meets older, shorter plugin tables, reads their size, and takes
 *     what is missing as zero.
 *
 * Within a major, tables and structs only grow at the end, enums only gain
 * values, and nothing changes its meaning.
 *
 * While the major was 0 the minor had to be equal too.
 *
 * 1.0  The layout of 0.1, and from here on a promise: sdk/abi/1.0 has a copy of
 *      these headers, and plugins built with it load in every 1.x.  Files, ask
 *      and keep, secrets by name, .list and as_offer, db.h, process.h, stream.h
 *      and vector stores are real.  No account can be connected yet:
 *      as_connection gives NULL.
 * 0.1  First landing: toolkit, llm, vector, auth.  Declared, and AS_UNSUPPORTED
 *      until a host binds them: files, ask and keep, connections, secrets by
 *      name, db.h, process.h, stream.h.  Before its release as_tool has got
 *      effect_by and effects; plugins built without them still load.
 */

#define AS_ABI_MAGIC 0x31445341u
#define AS_ABI_MAJOR 1
#define AS_ABI_MINOR 0

/*
 * The oldest host this plugin shall load in, as a minor.  Define it before the
 * first include to build with new headers for an old host; whatever is newer
 * is then not declared, so a mistake is a compile error here and not a refusal
 * on somebody else's machine.
 */
#ifndef AS_TARGET_MINOR
#define AS_TARGET_MINOR AS_ABI_MINOR
#endif

#if AS_TARGET_MINOR > AS_ABI_MINOR
#error "AS_TARGET_MINOR is newer than these headers"
#endif

#endif
