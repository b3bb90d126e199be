/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/plugin.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/mem.h"
#include "core/loop/fiber.h"
#include "core/plug/elf.h"
#include "core/plug/grant.h"
#include "core/plug/unit.h"

/*
 * From a file to a description in our own sizes.
 *
 * A plugin is mapped from a private copy with a name of its own: the file in
 * its folder may be replaced while we run, and two sections with the same
 * plugin get two copies, with statics of their own.  Nothing of a plugin is
 * read before the copy has been checked to be whole, and nothing of its
 * description before the versions agree.
 */

#define NAME_LEN_MAX 64
#define TABLE_MAX FILE_TOOLS_MAX /* rows; beyond it has no end */
/* What as_tool had at first; members after it are zero if they are missing. */
#define TOOL_SIZE_MIN offsetof(struct as_tool, effect_by)

/* Their copies have no name any more: script/fiber-gdb.py looks here. */
static struct plug_file *mapped;
static pthread_mutex_t mapped_lock = PTHREAD_MUTEX_INITIALIZER;

static void
mapped_add(struct plug_file *f)
{
	pthread_mutex_lock(&mapped_lock);
	f->list = mapped;
	mapped = f;
	pthread_mutex_unlock(&mapped_lock);
}

static void
mapped_remove(struct plug_file *f)
{
	struct plug_file **at = &mapped;

	pthread_mutex_lock(&mapped_lock);
	while (*at != NULL && *at != f)
		at = &(*at)->list;
	if (*at != NULL)
		*at = f->list;
	pthread_mutex_unlock(&mapped_lock);
}

static void
adopt(void *to, size_t want, const void *from, size_t size)
{
	memset(to, 0, want);
	if (from != NULL)
		memcpy(to, from, size < want ? size : want);
}

/* Tables of kinds begin with their own size. */
static void
adopt_table(void *to, size_t want, const void *from)
{
	uint32_t size = 0;

	if (from != NULL)
		memcpy(&size, from, sizeof(size));
	adopt(to, want, from, size);
}

static char *
refuse_version(const char *path, const struct as_plugin *p)
{
	unsigned major = p->abi_major, minor = p->abi_minor;

	if (major == AS_ABI_MAJOR && minor == AS_ABI_MINOR)
		return NULL;
	if (major == AS_ABI_MAJOR && minor > AS_ABI_MINOR)
		return xasprintf("%s: needs SDK %u.%u, this agent-studio has "
				 "%u.%u: upgrade agent-studio, or rebuild the "
				 "plugin with -DAS_TARGET_MINOR=%u",
		    path, major, minor, AS_ABI_MAJOR, AS_ABI_MINOR,
		    AS_ABI_MINOR);
	if (major == AS_ABI_MAJOR && AS_ABI_MAJOR > 0)
		return NULL;
	return xasprintf("%s: built for SDK %u.%u, this agent-studio has "
			 "%u.%u: rebuild the plugin with the headers of this "
			 "agent-studio",
	    path, major, minor, AS_ABI_MAJOR, AS_ABI_MINOR);
}

/* The versions, then the parts without which nothing else can be said. */
static char *
refuse_head(const char *path, const struct as_plugin *p)
{
	char *sentence;

	if (p == NULL)
		return xasprintf("%s: gives no description of itself: ask its "
				 "author",
		    path);
	if (p->magic != AS_ABI_MAGIC)
		return xasprintf("%s: not an Agent Studio plugin (its "
				 "description begins with 0x%08x, not 0x%08x): "
				 "remove it or rebuild it with AS_PLUGIN",
		    path, (unsigned)p->magic, (unsigned)AS_ABI_MAGIC);
	if ((sentence = refuse_version(path, p)) != NULL)
		return sentence;
	if (p->size < offsetof(struct as_plugin, toolkit) ||
	    p->field_size < sizeof(struct as_field))
		return xasprintf("%s: says SDK %u.%u, but its description has "
				 "%u bytes and its fields %u, less than that "
				 "version has: rebuild the plugin",
		    path, p->abi_major, p->abi_minor, (unsigned)p->size,
		    (unsigned)p->field_size);
	return NULL;
}

static bool
name_is_good(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return name[n] == '\0' && n >= 1 && n <= NAME_LEN_MAX &&
	       name[0] >= 'a' && name[0] <= 'z';
}

static const struct as_field *
field_next(const struct as_field *f, size_t stride)
{
	return (
	    const struct as_field *)(const void *)((const char *)f + stride);
}

size_t
field_width(uint32_t type)
{
	switch (type) {
	case AS_FIELD_INT:
	case AS_FIELD_MS:
	case AS_FIELD_SIZE:
		return sizeof(int64_t);
	case AS_FIELD_NUM:
		return sizeof(double);
	case AS_FIELD_BOOL:
		return sizeof(bool);
	case AS_FIELD_LIST:
		return sizeof(struct as_list);
	case AS_FIELD_STR:
	case AS_FIELD_CHOICE:
	case AS_FIELD_JSON:
	case AS_FIELD_SECRET:
		return sizeof(void *);
	default:
		return 0;
	}
}

/* A table that does not fit its struct would let us write beyond it. */
static char *
refuse_fields(const char *path, const char *what, const struct as_field *f,
    size_t stride, size_t size)
{
	size_t n = 0;

	for (; f != NULL && f->name != NULL; f = field_next(f, stride)) {
		if (++n > TABLE_MAX)
			return xasprintf("%s: %s: more than %d fields: end the "
					 "table with AS_END",
			    path, what, TABLE_MAX);
		if (field_width(f->type) == 0 ||
		    field_width(f->type) != f->width || f->width > size ||
		    f->offset > size - f->width)
			return xasprintf("%s: %s: field %.40s does not fit "
					 "its struct: write the table with "
					 "the macros of option.h",
			    path, what, f->name);
	}
	return NULL;
}

char *
file_refuse(const char *path, const struct plug_file *f)
{
	const struct as_plugin *p = &f->about;
	char *sentence;

	if (p->name == NULL || !name_is_good(p->name))
		return xasprintf("%s: its name is not of the form kind_name "
				 "(lower case letters, digits, '_'): ask its "
				 "author",
		    path);
	if (p->toolkit == NULL && p->llm == NULL && p->vector == NULL &&
	    p->auth == NULL)
		return xasprintf("%s: %s provides nothing: neither toolkit nor "
				 "llm, vector or auth is set",
		    path, p->name);
	if (p->vector != NULL &&
	    (f->vector.create == NULL || f->vector.drop == NULL ||
		f->vector.put == NULL || f->vector.remove == NULL ||
		f->vector.search == NULL))
		return xasprintf("%s: %s is a vector store without create, "
				 "drop, put, remove or search: it needs all",
		    path, p->name);
	if (p->llm != NULL && f->llm.chat == NULL)
		return xasprintf("%s: %s is an llm without chat", path,
		    p->name);
	if ((sentence = grants_refusal(path, p->grants)) != NULL)
		return sentence;
	return refuse_fields(path, "options", p->options, p->field_size,
	    p->conf_size);
}

static char *
adopt_tools(const char *path, struct plug_file *f)
{
	const char *row = (const char *)f->toolkit.tools;
	size_t stride = f->toolkit.tool_size;
	struct as_tool tool;
	char *sentence;

	if (row == NULL)
		return NULL;
	if (stride < TOOL_SIZE_MIN)
		return xasprintf("%s: its tools have %zu bytes each, SDK "
				 "%u.%u has %zu: rebuild the plugin",
		    path, stride, AS_ABI_MAJOR, AS_ABI_MINOR,
		    sizeof(struct as_tool));
	f->tools = xcalloc(TABLE_MAX, sizeof(*f->tools));
	for (; f->n_tools < TABLE_MAX; row += stride) {
		adopt(&tool, sizeof(tool), row, stride);
		if (tool.name == NULL)
			return NULL;
		if ((sentence = refuse_fields(path, tool.name, tool.params,
			 f->about.field_size, tool.params_size)) != NULL)
			return sentence;
		f->tools[f->n_tools++] = tool;
	}
	return xasprintf("%s: more than %d tools: end the table with AS_END",
	    path, TABLE_MAX);
}

static char *
describe(struct plug_file *f, const char *path, const struct as_host *host)
{
	as_plugin_entry_fn *entry;
	const struct as_plugin *p;
	void *symbol = dlsym(f->handle, "as_plugin_entry");
	char *sentence;

	if (symbol == NULL)
		return xasprintf("%s: not an Agent Studio plugin (it exports "
				 "no as_plugin_entry): remove it or define it "
				 "with AS_PLUGIN",
		    path);
	memcpy(&entry, &symbol, sizeof(entry));
	p = entry(host);
	if ((sentence = refuse_head(path, p)) != NULL)
		return sentence;
	adopt(&f->about, sizeof(f->about), p, p->size);
	adopt_table(&f->toolkit, sizeof(f->toolkit), f->about.toolkit);
	adopt_table(&f->llm, sizeof(f->llm), f->about.llm);
	adopt_table(&f->vector, sizeof(f->vector), f->about.vector);
	adopt_table(&f->auth, sizeof(f->auth), f->about.auth);
	if ((sentence = file_refuse(path, f)) != NULL)
		return sentence;
	return adopt_tools(path, f);
}

static int
memory_add(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct plug_file *f = arg;
	struct link_map *map = NULL;
	int i;

	(void)size;
	if (dlinfo(f->handle, RTLD_DI_LINKMAP, &map) != 0 ||
	    map->l_addr != info->dlpi_addr)
		return 0;
	for (i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type == PT_LOAD)
			f->memory += (int64_t)info->dlpi_phdr[i].p_memsz;
	}
	return 1;
}

/*
 * Exceptions in flight belong to a fiber, not to a thread.  Whatever library
 * has the function stays, though the plugin may go.
 */
static void
adopt_exceptions(void *handle)
{
	void *symbol = dlsym(handle, "__cxa_get_globals");
	void *(*fn)(void);
	Dl_info info;

	if (symbol == NULL || dladdr(symbol, &info) == 0 ||
	    dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE) ==
		NULL)
		return;
	memcpy(&fn, &symbol, sizeof(fn));
	fiber_eh_globals(fn);
}

static char *
file_map(struct plug_file *f, const char *path, const char *copy)
{
	f->handle = dlopen(copy, RTLD_NOW | RTLD_LOCAL);
	return f->handle != NULL
		   ? NULL
		   : xasprintf("%s: cannot be loaded: %s", path, dlerror());
}

static char *
file_map_copy(struct plug_file *f, const char *path)
{
	char *copy = NULL, *sentence;

	if ((sentence = elf_check(path)) != NULL)
		return sentence;
	if ((sentence = elf_copy(path, &copy)) != NULL)
		return sentence;
	sentence = file_map(f, path, copy);
	elf_copy_drop(copy);
	return sentence;
}

struct plug_file *
file_open_image(const char *path, const char *image, const struct as_host *host,
    char **sentence)
{
	struct plug_file *f = xcalloc(1, sizeof(*f));

	f->path = xstrdup(path);
	f->image = -1;
	*sentence = image != NULL ? file_map(f, path, image)
				  : file_map_copy(f, path);
	if (*sentence == NULL)
		*sentence = describe(f, path, host);
	if (*sentence != NULL) {
		file_close(f, false);
		return NULL;
	}
	mapped_add(f);
	adopt_exceptions(f->handle);
	dl_iterate_phdr(memory_add, f);
	return f;
}

struct plug_file *
file_open(const char *path, const struct as_host *host, char **sentence)
{
	return file_open_image(path, NULL, host, sentence);
}

bool
file_is_mapped(const struct plug_file *f)
{
	return f != NULL && f->handle != NULL;
}

bool
file_close(struct plug_file *f, bool has_run)
{
	bool stays;

	if (f == NULL)
		return false;
	mapped_remove(f);
	stays = f->handle != NULL && has_run &&
		!(f->about.flags & AS_UNLOADABLE);
	if (f->handle != NULL && !stays)
		dlclose(f->handle);
	if (f->image >= 0)
		close(f->image);
	arena_free(f->arena);
	free(f->tools);
	free(f->path);
	free(f);
	return stays;
}
