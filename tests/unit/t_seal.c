/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auth/key_file.h"
#include "core/auth/seal.h"
#include "core/base/buf.h"
#include "core/base/mem.h"
#include "tests/tap.h"

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct seal *
seal_of(const char *setting)
{
	struct seal *s = NULL;

	CU_ASSERT_EQUAL_FATAL(seal_new("/nowhere", setting, true, &s, NULL),
	    AS_OK);
	return s;
}

static bool
opens(const struct seal *s, const char *context, const struct buf *box,
    const char *expected)
{
	struct buf out = { 0 };
	bool ok = seal_open(s, context, strlen(context), box->data, box->len,
		      &out) &&
		  out.len == strlen(expected) &&
		  memcmp(out.data, expected, out.len) == 0;

	buf_free(&out);
	return ok;
}

static void
test_round(void)
{
	struct seal *s = seal_of(KEY_A);
	struct buf box = { 0 }, other = { 0 };

	seal_close(s, "row 1", 5, "secret", 6, &box);
	seal_close(s, "row 1", 5, "secret", 6, &other);
	CU_ASSERT_TRUE(opens(s, "row 1", &box, "secret"));
	CU_ASSERT_FALSE(opens(s, "row 2", &box, "secret"));
	CU_ASSERT_TRUE(
	    box.len != other.len || memcmp(box.data, other.data, box.len) != 0);
	CU_ASSERT_PTR_NULL(memmem(box.data, box.len, "secret", 6));
	for (size_t i = 0; i < box.len; i++) {
		box.data[i] ^= 1;
		CU_ASSERT_FALSE(opens(s, "row 1", &box, "secret"));
		box.data[i] ^= 1;
	}
	for (; box.len > 0; box.len--)
		CU_ASSERT_EQUAL(opens(s, "row 1", &box, "secret"),
		    box.len == other.len);
	buf_free(&box);
	buf_free(&other);
	seal_free(s);
}

/* The first key seals; all of them open. */
static void
test_rotation(void)
{
	struct seal *old = seal_of(KEY_A), *new = seal_of(KEY_B "\n" KEY_A);
	struct seal *only = seal_of(KEY_B);
	struct buf box = { 0 }, fresh = { 0 };

	seal_close(old, "x", 1, "secret", 6, &box);
	seal_close(new, "x", 1, "secret", 6, &fresh);
	CU_ASSERT_TRUE(opens(new, "x", &box, "secret"));
	CU_ASSERT_FALSE(opens(only, "x", &box, "secret"));
	CU_ASSERT_TRUE(opens(only, "x", &fresh, "secret"));
	CU_ASSERT_STRING_EQUAL(seal_key_id(new), seal_key_id(only));
	CU_ASSERT_STRING_EQUAL(seal_key_at(new, 1), seal_key_id(old));
	CU_ASSERT_PTR_NULL(seal_key_at(new, 2));
	buf_free(&box);
	buf_free(&fresh);
	seal_free(old);
	seal_free(new);
	seal_free(only);
}

static void
test_bad_keys(void)
{
	static const char *const bad[] = { " ", "abc", KEY_A "a", KEY_A " zz",
		"gg" KEY_A };
	struct error err = { 0 };
	struct seal *s;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CU_ASSERT_NOT_EQUAL(seal_new("/nowhere", bad[i], true, &s,
					&err),
		    AS_OK);
		/* A key that is broken is a key all the same. */
		CU_ASSERT_PTR_NULL(strstr(err.detail, "aaa"));
		error_clear(&err);
	}
}

static void
test_file(void)
{
	char dir[] = "/tmp/t_seal.XXXXXX";
	struct seal *a = NULL, *b = NULL;
	struct error err = { 0 };
	struct stat st;
	char *path;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	path = xasprintf("%s/sealing.key", dir);
	CU_ASSERT_EQUAL(seal_new(dir, "", false, &a, NULL), AS_OK);
	CU_ASSERT_PTR_NULL(a);
	CU_ASSERT_EQUAL(seal_new(dir, "", true, &a, NULL), AS_OK);
	CU_ASSERT_EQUAL(seal_new(dir, "", false, &b, NULL), AS_OK);
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	CU_ASSERT_STRING_EQUAL(seal_key_id(a), seal_key_id(b));
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	seal_free(a);
	seal_free(b);
	CU_ASSERT_EQUAL(chmod(path, 0644), 0);
	CU_ASSERT_NOT_EQUAL(seal_new(dir, "", true, &a, &err), AS_OK);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.detail, "chmod 600"));
	error_clear(&err);
	unlink(path);
	rmdir(dir);
	free(path);
}

/* Who has the same number in another container makes his own, too. */
static void
test_neighbour(void)
{
	char dir[] = "/tmp/t_seal.XXXXXX", text[80];
	char *tmp, *path;
	int fd;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	tmp = xasprintf("%s/.sealing.key.%ld", dir, (long)getpid());
	path = xasprintf("%s/sealing.key", dir);
	fd = open(tmp, O_WRONLY | O_CREAT, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	close(fd);
	CU_ASSERT_EQUAL(key_file_make(dir, "sealing.key", NULL), AS_OK);
	CU_ASSERT_EQUAL(access(tmp, F_OK), 0);
	CU_ASSERT_EQUAL(key_file_read(path, text, sizeof(text), NULL), AS_OK);
	CU_ASSERT_EQUAL(strlen(text), 2 * KEY_FILE_LEN + 1);
	unlink(tmp);
	unlink(path);
	CU_ASSERT_EQUAL(rmdir(dir), 0); /* nothing else is left */
	free(tmp);
	free(path);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "what is sealed opens under its context", test_round },
		{ "a new key, and the old one", test_rotation },
		{ "keys that are none", test_bad_keys },
		{ "the file of keys", test_file },
		{ "a neighbour's file", test_neighbour },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "seal", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
