/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/kit/impl.h"
#include "core/plug/elf.h"

/*
 * What the file itself says: its symbols and its segments.  Every offset is
 * compared with the size of the file first.
 */

#define LIBRARIES_MAX 64

struct file {
	const unsigned char *bytes;
	size_t size;
	const ElfW(Ehdr) * head;
	const ElfW(Sym) * symbols;
	size_t n_symbols;
	const char *names;
	size_t names_size;
	const char *libraries[LIBRARIES_MAX];
	size_t n_libraries;
	file_finding *fn;
	void *arg;
};

static const void *
at(const struct file *f, uint64_t offset, uint64_t len)
{
	if (offset > f->size || len > f->size - offset ||
	    offset % sizeof(void *) != 0)
		return NULL;
	return f->bytes + offset;
}

static const ElfW(Shdr) * section(const struct file *f, unsigned i)
{
	return at(f, f->head->e_shoff + (uint64_t)i * f->head->e_shentsize,
	    sizeof(ElfW(Shdr)));
}

/* NULL beyond the table, or without an end. */
static const char *
name_at(const struct file *f, uint64_t offset)
{
	if (offset >= f->names_size ||
	    memchr(f->names + offset, '\0', f->names_size - offset) == NULL)
		return NULL;
	return f->names + offset;
}

static void
take_libraries(struct file *f, const ElfW(Shdr) * s)
{
	const ElfW(Dyn) *d = at(f, s->sh_offset, s->sh_size);
	size_t i, n = s->sh_size / sizeof(*d);

	for (i = 0; d != NULL && i < n && d[i].d_tag != DT_NULL; i++) {
		if (d[i].d_tag == DT_NEEDED && f->n_libraries < LIBRARIES_MAX)
			f->libraries[f->n_libraries++] = name_at(f,
			    d[i].d_un.d_val);
	}
}

static bool
take_tables(struct file *f)
{
	const ElfW(Shdr) * s, *text;
	unsigned i;

	for (i = 0; i < f->head->e_shnum; i++) {
		if ((s = section(f, i)) == NULL)
			return false;
		if (s->sh_type != SHT_DYNSYM ||
		    (text = section(f, s->sh_link)) == NULL)
			continue;
		f->symbols = at(f, s->sh_offset, s->sh_size);
		f->n_symbols = s->sh_size / sizeof(*f->symbols);
		if (text->sh_offset <= f->size &&
		    text->sh_size <= f->size - text->sh_offset) {
			f->names = (const char *)f->bytes + text->sh_offset;
			f->names_size = text->sh_size;
		}
	}
	for (i = 0; i < f->head->e_shnum; i++) {
		if (section(f, i)->sh_type == SHT_DYNAMIC)
			take_libraries(f, section(f, i));
	}
	return f->symbols != NULL && f->names != NULL;
}

/* A sanitizer or a coverage tool adds symbols of its own. */
static bool
is_of_a_tool(const char *name)
{
	static const char *const prefixes[] = { "__asan_", "__ubsan_",
		"__tsan_", "__lsan_", "__sanitizer_", "__odr_asan", "__gcov_",
		"__llvm_", "__start_", "__stop_" };
	size_t i;

	for (i = 0; i < N_ITEMS(prefixes); i++) {
		if (text_has_prefix(name, prefixes[i]))
			return true;
	}
	return false;
}

static void
add(const struct file *f, enum kit_rule rule, const char *name,
    const char *words)
{
	char *text = xasprintf("%s%s", name, words);

	f->fn(f->arg, rule, text);
	free(text);
}

static bool
is_found(const struct file *f, const char *name)
{
	static const char *const always[] = { "libc.so.6", "libm.so.6",
		"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1" };
	const char *library;
	bool found = false;
	void *handle;
	size_t i;

	for (i = 0; !found && i < N_ITEMS(always) + f->n_libraries; i++) {
		library = i < N_ITEMS(always)
			      ? always[i]
			      : f->libraries[i - N_ITEMS(always)];
		handle = library != NULL
			     ? dlopen(library, RTLD_LAZY | RTLD_LOCAL)
			     : NULL;
		found = handle != NULL && dlsym(handle, name) != NULL;
		if (handle != NULL)
			dlclose(handle);
	}
	return found;
}

static void
check_symbol(const struct file *f, const ElfW(Sym) * s, unsigned *entries)
{
	const char *name = name_at(f, s->st_name);
	unsigned bind = ELF64_ST_BIND(s->st_info);
	unsigned visible = ELF64_ST_VISIBILITY(s->st_other);

	if (name == NULL || *name == '\0' || is_of_a_tool(name))
		return;
	if (s->st_shndx == SHN_UNDEF) {
		if (bind == STB_GLOBAL && !is_found(f, name))
			add(f, RULE_undefined, name,
			    " is defined neither here nor in a library that "
			    "the file names");
		return;
	}
	if (bind == STB_LOCAL || visible == STV_HIDDEN ||
	    visible == STV_INTERNAL || s->st_shndx == SHN_ABS)
		return;
	if (strcmp(name, "as_plugin_entry") == 0)
		++*entries;
	else if (bind == STB_GNU_UNIQUE)
		add(f, RULE_unique, name, " is unique in the process");
	else
		add(f, RULE_exports, name, " is exported too");
}

static void
check_segments(const struct file *f)
{
	const ElfW(Phdr) * p;
	unsigned i;

	for (i = 0; i < f->head->e_phnum; i++) {
		p = at(f, f->head->e_phoff + (uint64_t)i * sizeof(*p),
		    sizeof(*p));
		if (p != NULL && p->p_type == PT_GNU_STACK &&
		    (p->p_flags & PF_X))
			add(f, RULE_stack, "",
			    "it asks for an executable stack");
	}
}

static void
check_bytes(struct file *f)
{
	unsigned entries = 0;
	size_t i;

	f->head = (const void *)f->bytes;
	if (!take_tables(f)) {
		add(f, RULE_file, "", "it has no table of dynamic symbols");
		return;
	}
	for (i = 0; i < f->n_symbols; i++)
		check_symbol(f, &f->symbols[i], &entries);
	if (entries == 0)
		add(f, RULE_exports, "", "as_plugin_entry is not exported");
	check_segments(f);
}

void
file_rules(const char *path, file_finding *fn, void *arg)
{
	struct file f = { .fn = fn, .arg = arg };
	char *sentence = elf_check(path);
	struct stat sb;
	void *map, *self;
	int fd;

	if (sentence != NULL) {
		fn(arg, RULE_file, sentence);
		free(sentence);
		return;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &sb) != 0)
		return;
	f.size = (size_t)sb.st_size;
	map = mmap(NULL, f.size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return;
	f.bytes = map;
	/* Its libraries are then found where it looks for them itself. */
	self = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	check_bytes(&f);
	if (self != NULL)
		dlclose(self);
	munmap(map, f.size);
}
