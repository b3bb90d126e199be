/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_ELF_H
#define CORE_PLUG_ELF_H

/*
 * A shared object as a file.  The dynamic linker trusts what it maps: half a
 * file is a SIGBUS there, so it is looked at before.  The functions give NULL,
 * or a sentence that the caller frees.
 */

/* Is it whole, and for this machine? */
char *elf_check(const char *path);
/* A private copy with a name of its own; *copy is malloc()ed. */
char *elf_copy(const char *path, char **copy);
/*
 * A private copy without a name: a descriptor, which others may open through
 * /proc, whoever they are.  Nobody can change it.
 */
char *elf_image(const char *path, int *image);
/* Removes the copy's name (what is mapped stays) and frees it. */
void elf_copy_drop(char *copy);

#endif
