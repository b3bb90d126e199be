/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/grant.h"

#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/conf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/plug/origin.h"
#include "core/plug/unit.h"

/*
 * Words that are not known are refused when a file is loaded, so a slip of the
 * pen is not found out by the first user of a service.
 */

static const char *const kinds[] = { "credential", "db", "files", "kv", "net",
	"process", "secret" };

static const char *const examples[] = { [4] = "net:api.example.com",
	[5] = "process:git",
	[6] = "secret:NAME" };

#define LETTERS \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

/* ---- Words --------------------------------------------------------- */

/* The next word of a list; false at its end. */
static bool
word_next(const char **at, const char **word, size_t *len)
{
	if (*at == NULL)
		return false;
	*word = *at + strspn(*at, " ");
	*len = strcspn(*word, " ");
	*at = *word + *len;
	return *len > 0;
}

static bool
rest_is_good(size_t kind, const char *rest)
{
	switch (kind) {
	case 4:
		if (text_has_prefix(rest, "*."))
			rest += 2;
		return *rest != '\0' && rest[strspn(rest, LETTERS ":")] == '\0';
	case 5:
	case 6:
		return *rest != '\0' && rest[strspn(rest, LETTERS)] == '\0';
	default:
		return false;
	}
}

/* What is wrong with the word; false: nothing. */
static bool
word_is_wrong(const char *word, char *why, size_t size)
{
	const char *colon = strchr(word, ':'), *near = NULL;
	size_t len = colon != NULL ? (size_t)(colon - word) : strlen(word), i;
	char head[40];

	snprintf(head, sizeof(head), "%.*s", (int)(len < 39 ? len : 39), word);
	for (i = 0; i < N_ITEMS(kinds) && strcmp(kinds[i], head) != 0; i++)
		continue;
	if (i == N_ITEMS(kinds)) {
		near = text_nearest(head, kinds, N_ITEMS(kinds));
		snprintf(why, size, "'%.80s' is no permission; %s%s%s", word,
		    near != NULL ? "did you mean '"
				 : "known are credential, db, files, kv, "
				   "net:HOST, process:NAME, secret:NAME",
		    near != NULL ? near : "", near != NULL ? "'?" : "");
		return true;
	}
	if (i < 4 && colon == NULL)
		return false;
	if (i >= 4 && colon != NULL && rest_is_good(i, colon + 1))
		return false;
	if (i < 4)
		snprintf(why, size, "'%.80s': write it as '%s'", word,
		    kinds[i]);
	else
		snprintf(why, size, "'%.80s': write it as in '%s'", word,
		    examples[i]);
	return true;
}

char *
grants_refusal(const char *path, const char *grants)
{
	const char *at = grants, *word;
	char one[300], why[400];
	size_t len;

	while (word_next(&at, &word, &len)) {
		snprintf(one, sizeof(one), "%.*s",
		    (int)(len < sizeof(one) ? len : sizeof(one) - 1), word);
		if (word_is_wrong(one, why, sizeof(why)))
			return xasprintf("%s: grants: %s", path, why);
	}
	return NULL;
}

/* Is everything that the second word reaches within the first? */
static bool
word_covers(const char *a, size_t a_len, const char *b)
{
	size_t n = strlen(b);

	if (a_len == n && strncasecmp(a, b, n) == 0)
		return true;
	if (a_len < 4 || memcmp(a, "net:", 4) != 0 ||
	    !text_has_prefix(b, "net:"))
		return false;
	if (a_len == 8 && memcmp(a, "net:user", 8) == 0)
		return true;
	/* ".x.com" ends both "api.x.com" and "*.y.x.com", not "*.x.com". */
	if (a_len <= 6 || a[4] != '*' || a[5] != '.' || n <= a_len - 1)
		return false;
	return strncasecmp(b + n - (a_len - 5), a + 5, a_len - 5) == 0;
}

bool
grant_covers(const char *declared, const char *word)
{
	const char *at = declared, *one;
	size_t len;

	while (word_next(&at, &one, &len)) {
		if (word_covers(one, len, word))
			return true;
	}
	return false;
}

static bool
list_has(const char *list, const char *word)
{
	const char *at = list, *one;
	size_t n = strlen(word), len;

	while (word_next(&at, &one, &len)) {
		if (len == n && memcmp(one, word, n) == 0)
			return true;
	}
	return false;
}

/* ---- What conf.d leaves -------------------------------------------- */

static const char *
declared(const struct unit *u)
{
	const char *grants = u->file->about.grants;

	return grants != NULL ? grants : "";
}

static bool
narrow_grants(struct unit *u, const struct as_list *list)
{
	char *words = arena_strdup(u->arena, ""), why[400];
	bool ok = true;
	size_t i;

	for (i = 0; i < list->n; i++) {
		const char *word = list->items[i];

		if (strchr(word, ' ') != NULL ||
		    word_is_wrong(word, why, sizeof(why))) {
			if (strchr(word, ' ') != NULL)
				snprintf(why, sizeof(why),
				    "'%.80s': one word in each pair of quotes",
				    word);
			unit_problem(u, "grants", "%s", why);
			ok = false;
		} else if (!grant_covers(declared(u), word)) {
			unit_problem(u, "grants",
			    "'%.80s' is more than %s asks for (%s): here it "
			    "can only be given less",
			    word, u->file->about.name,
			    declared(u)[0] != '\0' ? declared(u) : "nothing");
			ok = false;
		}
		words = arena_printf(u->arena, "%s%s%s", words,
		    i > 0 ? " " : "", word);
	}
	u->grants = words;
	return ok;
}

static const char *const effect_words[] = { "once", "none", "repeat", "keyed",
	"verified" };

static bool
narrow_effects(struct unit *u, const struct as_list *list)
{
	const char *near;
	bool ok = true;
	size_t i, k;

	u->effects_barred = (1u << N_ITEMS(effect_words)) - 1;
	for (i = 0; i < list->n; i++) {
		for (k = 0; k < N_ITEMS(effect_words); k++)
			if (strcmp(effect_words[k], list->items[i]) == 0)
				break;
		if (k < N_ITEMS(effect_words)) {
			u->effects_barred &= ~(1u << k);
			continue;
		}
		near = text_nearest(list->items[i], effect_words,
		    N_ITEMS(effect_words));
		unit_problem(u, "effects",
		    "expected some of none, repeat, keyed, verified, once, "
		    "got '%.40s'%s%s%s",
		    list->items[i], near != NULL ? "; did you mean '" : "",
		    near != NULL ? near : "", near != NULL ? "'?" : "");
		ok = false;
	}
	return ok;
}

/* The secrets of its words, as far as there are such; each is resolved once. */
static bool
find_secrets(struct unit *u)
{
	const char *at = unit_grants(u), *word, *value;
	char path[160];
	bool ok = true;
	size_t len;

	u->secrets = arena_alloc(u->arena,
	    (strlen(at) / 8 + 1) * sizeof(*u->secrets));
	while (word_next(&at, &word, &len)) {
		if (len <= 7 || memcmp(word, "secret:", 7) != 0)
			continue;
		snprintf(path, sizeof(path), "secrets.%.*s", (int)len - 7,
		    word + 7);
		if (!conf_secret_at(u->source->conf, path, &value))
			ok = false;
		else if (value != NULL)
			u->secrets[u->n_secrets++] = (struct unit_secret){
				.name = arena_strndup(u->arena, word + 7,
				    len - 7),
				.value = value
			};
	}
	return ok;
}

bool
unit_narrow(struct unit *u)
{
	struct conf *conf = u->source->conf;
	struct as_list list;
	char path[160];
	bool ok = true;

	snprintf(path, sizeof(path), "plugins.%s.grants", u->name);
	if (!conf_list(conf, path, &list))
		ok = false;
	else if (list.items != NULL)
		ok = narrow_grants(u, &list);
	snprintf(path, sizeof(path), "plugins.%s.effects", u->name);
	if (!conf_list(conf, path, &list))
		ok = false;
	else if (list.items != NULL)
		ok = narrow_effects(u, &list) && ok;
	return find_secrets(u) && ok;
}

/* ---- What is in force ---------------------------------------------- */

const char *
unit_grants(const struct unit *u)
{
	return u->grants != NULL ? u->grants : declared(u);
}

bool
unit_is_granted(const struct unit *u, const char *word)
{
	return list_has(unit_grants(u), word);
}

static enum as_status
refuse(const struct unit *u, const char *word, bool is_declared,
    struct error *err)
{
	if (is_declared)
		return error_set(err, ERR_FORBIDDEN,
		    "%s may not use \"%.140s\": plugins.%s.grants in conf.d "
		    "do not leave it that",
		    u->file->about.name, word, u->name);
	return error_set(err, ERR_FORBIDDEN,
	    "%s may not use \"%.140s\": its .grants do not have that",
	    u->file->about.name, word);
}

enum as_status
grant_check(const struct unit *u, const char *word, struct error *err)
{
	if (unit_is_granted(u, word))
		return AS_OK;
	return refuse(u, word, list_has(declared(u), word), err);
}

enum as_status
grant_check_host(const struct unit *u, const char *host, struct error *err)
{
	char word[ORIGIN_LEN + 4];

	if (grants_host(unit_grants(u), host))
		return AS_OK;
	snprintf(word, sizeof(word), "net:%s", host);
	return refuse(u, word, grants_host(declared(u), host), err);
}

bool
unit_allows(const struct unit *u, enum as_effect effect)
{
	return !(u->effects_barred & (1u << effect));
}

enum as_status
unit_allows_call(const struct unit *u, const struct plug_tool_info *tool,
    struct json_object *args, struct error *err)
{
	enum as_effect effect = plug_tool_effect(tool, args);

	if (unit_allows(u, effect))
		return AS_OK;
	return error_set(err, ERR_FORBIDDEN,
	    "this call of %s has the effect '%s', and plugins.%s.effects in "
	    "conf.d do not have that",
	    tool->name, plug_effect_name(effect), u->name);
}

bool
unit_bars(const struct unit *u, const struct plug_tool_info *tool)
{
	const struct as_effect_case *c = tool->effects;

	if (unit_allows(u, tool->effect))
		return false;
	for (; c != NULL && c->word != NULL; c++) {
		if (unit_allows(u, c->effect))
			return false;
	}
	return true;
}

/* ---- For admins ---------------------------------------------------- */

static struct json_object *
words_to_json(const char *list)
{
	struct json_object *a = jarr();
	const char *at = list, *word;
	size_t len;

	while (word_next(&at, &word, &len))
		json_object_array_add(a,
		    json_object_new_string_len(word, (int)len));
	return a;
}

void
grants_to_json(const struct unit *u, struct json_object *o)
{
	struct json_object *effects = NULL;
	size_t i;

	jput(o, "grants",
	    u->file != NULL ? words_to_json(unit_grants(u)) : jarr());
	jput(o, "declared",
	    u->file != NULL ? words_to_json(declared(u)) : jarr());
	if (u->effects_barred != 0)
		effects = jarr();
	for (i = 0; effects != NULL && i < N_ITEMS(effect_words); i++) {
		if (unit_allows(u, (enum as_effect)i))
			json_object_array_add(effects,
			    json_object_new_string(effect_words[i]));
	}
	jput(o, "effects", effects);
}
