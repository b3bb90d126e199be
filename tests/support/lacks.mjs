// SPDX-License-Identifier: Apache-2.0
//
// What a test needs besides the program, for the option skip; where CI is set
// nothing may be missing, so that what lacks something fails there:
//
//   test("...", { skip: lacks(hasProxy("nginx"), "nginx") }, ...);
//   describe("...", { skip: lacksPostgres }, ...);

export const lacks = (there, what) => !there && !process.env.CI && `no ${what}`;

export const lacksPostgres = lacks(process.env.TEST_POSTGRES_URL,
	"TEST_POSTGRES_URL");
