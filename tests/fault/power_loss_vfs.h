/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAULT_POWER_LOSS_VFS_H
#define TESTS_FAULT_POWER_LOSS_VFS_H

/*
 * A VFS of SQLite, "power_loss", that stands between it and the disk: what is
 * written stays in memory until it is synced.  When the power is cut, what was
 * not synced is gone, and nothing works any more.
 *
 * What a disk does without being asked is in the choice of the seed: with 0
 * nothing unsynced survives, with others about half of it, in any order.
 * Creating and deleting a file is taken as durable.
 */

int power_loss_register(void); /* SQLITE_OK */
void power_loss_cut(unsigned seed); /* any thread */
/* After all files are closed: the disk as it was found. */
void power_loss_restore(void);

#endif
