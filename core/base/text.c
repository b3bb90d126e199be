/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/text.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"

/*
 * Text as it comes from outside.  Everything here is pure; nothing trusts a
 * length that it has not checked.
 */

/* Bytes of the valid character at s, or 0. */
static size_t
utf8_char(const unsigned char *s, size_t len)
{
	size_t n, i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (len < n)
		return 0;
	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

size_t
text_utf8_prefix(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	uint64_t word;
	size_t i = 0, n;

	while (i < len) {
		while (len - i >= sizeof(word)) {
			memcpy(&word, u + i, sizeof(word));
			if ((word & UINT64_C(0x8080808080808080)) != 0)
				break;
			i += sizeof(word);
		}
		while (i < len && u[i] < 0x80)
			i++;
		if (i == len)
			break;
		if ((n = utf8_char(u + i, len - i)) == 0)
			return i;
		i += n;
	}
	return len;
}

bool
text_is_utf8(const char *s, size_t len)
{
	return text_utf8_prefix(s, len) == len;
}

size_t
text_utf8_whole(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t back, want;

	for (back = 1; back <= 3 && back <= len; back++) {
		unsigned char c = u[len - back];

		if (c < 0x80)
			return len;
		if (c < 0xc0)
			continue;
		want = c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
		return want > back ? len - back : len;
	}
	return len;
}

void
text_add_clean(struct buf *b, const char *s, size_t len)
{
	const char *nul;
	size_t good;

	while (len > 0) {
		good = text_utf8_prefix(s, len);
		nul = good > 0 ? memchr(s, '\0', good) : NULL;
		if (nul != NULL)
			good = (size_t)(nul - s);
		buf_add(b, s, good);
		if (good == len)
			return;
		buf_add_str(b, "\xef\xbf\xbd");
		s += good + 1;
		len -= good + 1;
	}
}

bool
text_to_int(const char *s, int64_t min, int64_t max, int64_t *out)
{
	bool negative = *s == '-';
	int64_t n = 0;
	int digit;

	if (negative)
		s++;
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9')
			return false;
		digit = negative ? '0' - *s : *s - '0';
		if (negative ? n < (INT64_MIN - digit) / 10
			     : n > (INT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (n < min || n > max)
		return false;
	*out = n;
	return true;
}

struct unit {
	const char *name;
	int64_t factor;
};

static bool
to_units(const char *s, const struct unit *units, int64_t *out)
{
	size_t digits = strspn(s, "0123456789");
	char number[24];
	int64_t n;

	if (digits == 0 || digits >= sizeof(number))
		return false;
	memcpy(number, s, digits);
	number[digits] = '\0';
	if (!text_to_int(number, 0, INT64_MAX, &n))
		return false;
	for (; units->name != NULL; units++) {
		if (strcmp(s + digits, units->name) != 0)
			continue;
		if (n > INT64_MAX / units->factor)
			return false;
		*out = n * units->factor;
		return true;
	}
	return false;
}

bool
text_to_ms(const char *s, int64_t *out)
{
	static const struct unit units[] = { { "", 1 }, { "ms", 1 },
		{ "s", 1000 }, { "m", 60000 }, { "h", 3600000 },
		{ "d", 86400000 }, { NULL, 0 } };

	return to_units(s, units, out);
}

bool
text_to_bytes(const char *s, int64_t *out)
{
	static const struct unit units[] = { { "", 1 }, { "k", 1 << 10 },
		{ "K", 1 << 10 }, { "M", 1 << 20 }, { "G", 1 << 30 },
		{ NULL, 0 } };

	return to_units(s, units, out);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

long
text_percent_decode(char *s, size_t len, bool plus_is_space)
{
	size_t i, n = 0;
	int hi, lo;

	MUST(len <= LONG_MAX);
	for (i = 0; i < len; i++) {
		if (s[i] == '+' && plus_is_space) {
			s[n++] = ' ';
		} else if (s[i] != '%') {
			s[n++] = s[i];
		} else {
			if (len - i < 3 || (hi = hex_digit(s[i + 1])) < 0 ||
			    (lo = hex_digit(s[i + 2])) < 0)
				return -1;
			s[n++] = (char)(hi << 4 | lo);
			i += 2;
		}
	}
	return (long)n;
}

static bool
is_unreserved(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_' ||
	       c == '~';
}

void
text_percent_encode(struct buf *b, const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (is_unreserved(s[i]))
			buf_add_char(b, s[i]);
		else
			buf_printf(b, "%%%02X", (unsigned)(unsigned char)s[i]);
	}
}

static const char base64_digits
    [] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void
text_base64url(struct buf *b, const void *p, size_t len)
{
	const unsigned char *u = p;
	unsigned bits = 0, n_bits = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		bits = (bits & 0x3f) << 8 | u[i];
		for (n_bits += 8; n_bits >= 6; n_bits -= 6)
			buf_add_char(b,
			    base64_digits[bits >> (n_bits - 6) & 63]);
	}
	if (n_bits > 0)
		buf_add_char(b, base64_digits[bits << (6 - n_bits) & 63]);
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool
text_base64url_decode(struct buf *b, const char *s, size_t len)
{
	unsigned bits = 0, n_bits = 0;
	size_t i, before = b->len;
	int v;

	if (len % 4 == 1)
		return false;
	for (i = 0; i < len; i++) {
		if ((v = base64_value(s[i])) < 0)
			break;
		bits = (bits << 6 | (unsigned)v) & 0xfff;
		if ((n_bits += 6) >= 8) {
			n_bits -= 8;
			buf_add_char(b, (char)(bits >> n_bits & 0xff));
		}
	}
	/* Left-over bits must be zero: one text for one value. */
	if (i == len && (bits & ((1u << n_bits) - 1)) == 0) {
		buf_add(b, "", 0);
		return true;
	}
	if (b->len > before)
		b->data[b->len = before] = '\0';
	return false;
}

void
text_hex(char *out, const void *p, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *u = p;
	size_t i;

	for (i = 0; i < len; i++) {
		*out++ = digits[u[i] >> 4];
		*out++ = digits[u[i] & 15];
	}
	*out = '\0';
}

#define NEAR_MAX 3
#define NEAR_LEN 63

/* Levenshtein distance of two texts of at most NEAR_LEN bytes. */
static int
distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int row[NEAR_LEN + 1], corner, above, best;
	size_t i, j;

	for (j = 0; j <= b_len; j++)
		row[j] = (int)j;
	for (i = 1; i <= a_len; i++) {
		corner = row[0];
		row[0] = (int)i;
		for (j = 1; j <= b_len; j++) {
			above = row[j];
			best = corner + (a[i - 1] != b[j - 1]);
			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			corner = above;
		}
	}
	return row[b_len];
}

const char *
text_nearest(const char *s, const char *const *names, size_t n)
{
	size_t i, len = strlen(s), name_len;
	const char *nearest = NULL;
	int d, best = NEAR_MAX + 1;

	if (len > NEAR_LEN)
		return NULL;
	for (i = 0; i < n; i++) {
		if ((name_len = strlen(names[i])) > NEAR_LEN)
			continue;
		d = distance(s, len, names[i], name_len);
		/* More than half of the longer one must be left. */
		if (d < best &&
		    2 * d < (int)(len > name_len ? len : name_len) + 1) {
			best = d;
			nearest = names[i];
		}
	}
	return nearest;
}

bool
text_has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool
text_eq_nocase(const char *a, const char *b)
{
	while (*a != '\0' && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return lower(*a) == lower(*b);
}
