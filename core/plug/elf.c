/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/elf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"

/*
 * Checks and copies shared objects.  Every offset is compared with the size of
 * the file before anything is read at it; a file of which one byte is missing
 * at the end is found, because the table of sections is there.
 */

#define PROGRAM_HEADERS_MAX 128

static bool
read_at(int fd, void *buf, size_t len, uint64_t at)
{
	return pread(fd, buf, len, (off_t)at) == (ssize_t)len;
}

static bool
range_is_inside(uint64_t at, uint64_t len, uint64_t size)
{
	return at <= size && len <= size - at;
}

static bool
segments_are_inside(int fd, const ElfW(Ehdr) * head, uint64_t size)
{
	ElfW(Phdr) segment;
	unsigned i;

	if (head->e_phnum > PROGRAM_HEADERS_MAX ||
	    head->e_phentsize != sizeof(segment))
		return false;
	for (i = 0; i < head->e_phnum; i++) {
		if (!read_at(fd, &segment, sizeof(segment),
			head->e_phoff + i * sizeof(segment)))
			return false;
		if (segment.p_type == PT_LOAD &&
		    !range_is_inside(segment.p_offset, segment.p_filesz, size))
			return false;
	}
	return true;
}

/* This program itself says what the machine is. */
static bool
machine_is_ours(const ElfW(Ehdr) * head)
{
	ElfW(Ehdr) self;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return true; /* the dynamic linker will say */
	ok = read_at(fd, &self, sizeof(self), 0) &&
	     self.e_machine == head->e_machine &&
	     memcmp(self.e_ident, head->e_ident, EI_VERSION) == 0;
	close(fd);
	return ok;
}

static const char *
elf_fault(int fd, uint64_t size)
{
	ElfW(Ehdr) head;

	if (size < sizeof(head) || !read_at(fd, &head, sizeof(head), 0) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
		return "not a shared object";
	if (!machine_is_ours(&head))
		return "a shared object of another kind of machine";
	if (head.e_type != ET_DYN)
		return "an object file, but not a shared one";
	if (!range_is_inside(head.e_shoff,
		(uint64_t)head.e_shnum * head.e_shentsize, size) ||
	    !segments_are_inside(fd, &head, size))
		return "cut off: it is shorter than its own tables say";
	return NULL;
}

char *
elf_check(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *fault;
	struct stat sb;

	if (fd < 0)
		return xasprintf("%s: cannot be opened: %s", path,
		    strerror(errno));
	if (fstat(fd, &sb) != 0 || !S_ISREG(sb.st_mode))
		fault = "not a file";
	else
		fault = elf_fault(fd, (uint64_t)sb.st_size);
	close(fd);
	return fault == NULL
		   ? NULL
		   : xasprintf("%s: %s: copy or build it again", path, fault);
}

static bool
copy_bytes(int from, int to)
{
	char *buf = xmalloc(65536);
	ssize_t n, done, put;

	while ((n = read(from, buf, 65536)) > 0) {
		for (done = 0; done < n; done += put) {
			put = write(to, buf + done, (size_t)(n - done));
			if (put <= 0)
				goto out;
		}
	}
out:
	free(buf);
	return n == 0;
}

static const char *
run_folder(void)
{
	const char *dir = getenv("RUNTIME_DIRECTORY");

	if (dir == NULL || *dir == '\0')
		dir = getenv("TMPDIR");
	return dir != NULL && *dir != '\0' ? dir : "/tmp";
}

char *
elf_copy(const char *path, char **copy)
{
	char *name = xasprintf("%s/agent-studio-plugin-XXXXXX", run_folder());
	int to = mkostemp(name, O_CLOEXEC);
	int from = open(path, O_RDONLY | O_CLOEXEC);
	char *sentence = NULL;

	*copy = NULL;
	if (to < 0 || from < 0 || !copy_bytes(from, to)) {
		sentence = xasprintf("%s: cannot be copied to %s: %s", path,
		    name, strerror(errno));
		if (to >= 0)
			unlink(name);
		free(name);
	} else
		*copy = name;
	if (to >= 0)
		close(to);
	if (from >= 0)
		close(from);
	return sentence;
}

void
elf_copy_drop(char *copy)
{
	unlink(copy);
	free(copy);
}

char *
elf_image(const char *path, int *image)
{
	int from = open(path, O_RDONLY | O_CLOEXEC);
	int to = memfd_create("agent-studio-plugin",
	    MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char *sentence = NULL;

	/* Above the numbers that a process of its own has. */
	*image = to >= 0 ? fcntl(to, F_DUPFD_CLOEXEC, 10) : -1;
	if (from < 0 || *image < 0 || !copy_bytes(from, to) ||
	    fcntl(to, F_ADD_SEALS,
		F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
		sentence = xasprintf("%s: cannot be copied: %s", path,
		    strerror(errno));
	if (sentence != NULL && *image >= 0) {
		close(*image);
		*image = -1;
	}
	if (to >= 0)
		close(to);
	if (from >= 0)
		close(from);
	return sentence;
}
