/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/integration/net_peer.h"
#include "tests/integration/site.h"
#include "tests/tap.h"

/*
 * Who a request comes from: through proxies, and from which pages.
 */

static struct answer a;

static void
test_proxies(void)
{
	peer_ask(site, &a,
	    "GET /hello HTTP/1.1\r\n" HOST
	    "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.1\r\n"
	    "X-Forwarded-Proto: https\r\n" END);
	CU_ASSERT(strstr(a.body.data, "\"peer\":\"1.2.3.4\"") != NULL);
	CU_ASSERT(strstr(a.body.data, "\"secure\":true") != NULL);
	answer_free(&a);
	peer_ask(site, &a,
	    "GET /hello HTTP/1.1\r\n" HOST "X-Forwarded-For: 6.6.6.6\r\n"
	    "X-Forwarded-For: 2001:db8::1, fd00::1\r\n" END);
	CU_ASSERT(strstr(a.body.data, "\"peer\":\"2001:db8::1\"") != NULL);
	CU_ASSERT(strstr(a.body.data, "\"secure\":false") != NULL);
	answer_free(&a);
	peer_ask(site, &a,
	    "GET /hello HTTP/1.1\r\n" HOST "X-Forwarded-For: nonsense\r\n" END);
	CU_ASSERT(strstr(a.body.data, "\"peer\":\"127.0.0.1\"") != NULL);
	answer_free(&a);
}

static void
origin(const char *headers, bool want)
{
	char *s = xasprintf("GET /hello HTTP/1.1\r\n" HOST "%s\r\n", headers);

	peer_ask(site, &a, s);
	CU_ASSERT(strstr(a.body.data,
		      want ? "\"origin\":true" : "\"origin\":false") != NULL);
	answer_free(&a);
	free(s);
}

static void
test_origin(void)
{
	origin("", true);
	origin("Origin: http://a\r\n", true);
	origin("Origin: http://a\r\nSec-Fetch-Site: same-origin\r\n", true);
	origin("Origin: https://app.example\r\n"
	       "Sec-Fetch-Site: cross-site\r\n",
	    true);
	origin("Origin: http://evil\r\n", false);
	origin("Origin: null\r\n", false);
	origin("Sec-Fetch-Site: cross-site\r\n", false);
	origin("Origin: http://a\r\nSec-Fetch-Site: cross-site\r\n", false);
	origin("Sec-Fetch-Site: none\r\n", true);
}

static void
test_cors(void)
{
	peer_ask(site, &a,
	    "GET /hello HTTP/1.1\r\n" HOST
	    "Origin: https://app.example\r\n" END);
	CU_ASSERT(
	    answer_has(&a, "Access-Control-Allow-Origin: https://app.example"));
	CU_ASSERT(answer_has(&a, "Access-Control-Allow-Credentials: true"));
	CU_ASSERT(answer_has(&a, "Vary: Origin"));
	answer_free(&a);
	peer_ask(site, &a,
	    "GET /hello HTTP/1.1\r\n" HOST "Origin: https://evil\r\n" END);
	CU_ASSERT(strstr(a.head, "Access-Control") == NULL);
	CU_ASSERT(answer_has(&a, "Vary: Origin"));
	answer_free(&a);
	CU_ASSERT_EQUAL(peer_ask(site, &a,
			    "OPTIONS /hello HTTP/1.1\r\n" HOST
			    "Origin: https://app.example\r\n"
			    "Access-Control-Request-Method: POST\r\n" END),
	    204);
	CU_ASSERT(answer_has(&a,
	    "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS"));
	CU_ASSERT(strstr(a.head, "Access-Control-Allow-Headers: ") != NULL);
	answer_free(&a);
	CU_ASSERT_EQUAL(peer_ask(site, &a, "OPTIONS * HTTP/1.1\r\n" HOST END),
	    204);
	CU_ASSERT(strstr(a.head, "\r\nAllow: GET, ") != NULL);
	answer_free(&a);
	site_ask("OPTIONS /none HTTP/1.1\r\n" HOST END, 404, "NOT_FOUND");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "trusted proxies", test_proxies },
		{ "origins", test_origin },
		{ "CORS", test_cors },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "http_origin", site_open, site_close, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
