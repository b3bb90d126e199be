/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/loop/loop.h"
#include "core/net/tcp_impl.h"

/* TLS on a connection that is there; OpenSSL works on the socket itself. */

static SSL_CTX *context;

static void
context_make(void)
{
	context = SSL_CTX_new(TLS_client_method());
	if (context == NULL)
		return;
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (SSL_CTX_set_default_verify_paths(context) != 1)
		log_warn("tcp", "no certificates of authorities are there");
}

/* Never freed: as long as the process. */
static SSL_CTX *
context_get(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, context_make);
	return context;
}

static enum as_status
tls_failed(struct tcp *t, int kind, struct error *err)
{
	long verify = SSL_get_verify_result(t->tls);
	char why[160] = "the connection was cut";
	unsigned long code = ERR_get_error();

	if (verify != X509_V_OK)
		snprintf(why, sizeof(why), "%s",
		    X509_verify_cert_error_string(verify));
	else if (kind == SSL_ERROR_SSL && code != 0)
		ERR_error_string_n(code, why, sizeof(why));
	ERR_clear_error();
	return error_set(err, ERR_UPSTREAM_UNAVAILABLE,
	    "TLS with %s as %.80s: %s", t->host, t->server_name, why);
}

/*
 * What rc of an operation of OpenSSL means: AS_OK: try again; a wait has
 * passed.  *end: the other side has said that it is over.
 */
SUSPENDS static enum as_status
tls_again(struct tcp *t, int rc, bool *end, struct error *err)
{
	int kind = SSL_get_error(t->tls, rc);

	*end = kind == SSL_ERROR_ZERO_RETURN;
	switch (kind) {
	case SSL_ERROR_ZERO_RETURN:
		return AS_OK;
	case SSL_ERROR_WANT_READ:
		return tcp_pause(t, LOOP_READ, t->idle_ms, err);
	case SSL_ERROR_WANT_WRITE:
		return tcp_pause(t, LOOP_WRITE, t->idle_ms, err);
	default:
		return tls_failed(t, kind, err);
	}
}

static bool
names_set(struct tcp *t)
{
	struct in6_addr ip;

	if (inet_pton(AF_INET, t->server_name, &ip) == 1 ||
	    inet_pton(AF_INET6, t->server_name, &ip) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->tls),
			   t->server_name) == 1;
	return SSL_set_tlsext_host_name(t->tls, t->server_name) == 1 &&
	       SSL_set1_host(t->tls, t->server_name) == 1;
}

enum as_status
tcp_start_tls(struct tcp *t, struct error *err)
{
	enum as_status st = AS_OK;
	bool end = false;
	int rc;

	if (t->tls != NULL)
		return error_set(err, ERR_BAD_REQUEST,
		    "this connection has TLS already");
	t->tls = context_get() != NULL ? SSL_new(context_get()) : NULL;
	if (t->tls == NULL || SSL_set_fd(t->tls, t->fd) != 1 || !names_set(t))
		return error_set(err, ERR_UNAVAILABLE, "TLS is not available");
	ERR_clear_error();
	while (st == AS_OK && !end && (rc = SSL_connect(t->tls)) != 1)
		st = tls_again(t, rc, &end, err);
	return end ? tls_failed(t, SSL_ERROR_ZERO_RETURN, err) : st;
}

enum as_status
tcp_tls_read(struct tcp *t, void *buf, size_t cap, size_t *n, struct error *err)
{
	enum as_status st = AS_OK;
	bool end = false;
	int rc;

	*n = 0;
	ERR_clear_error();
	while (
	    st == AS_OK && !end && (rc = SSL_read_ex(t->tls, buf, cap, n)) != 1)
		st = tls_again(t, rc, &end, err);
	if (end)
		*n = 0;
	return st;
}

enum as_status
tcp_tls_write(struct tcp *t, const void *p, size_t len, struct error *err)
{
	const char *from = p;
	enum as_status st = AS_OK;
	bool end = false;
	size_t n;
	int rc;

	ERR_clear_error();
	while (st == AS_OK && !end && len > 0) {
		rc = SSL_write_ex(t->tls, from, len, &n);
		if (rc != 1) {
			st = tls_again(t, rc, &end, err);
			continue;
		}
		from += n;
		len -= n;
	}
	return end ? tls_failed(t, SSL_ERROR_ZERO_RETURN, err) : st;
}

/* The other side shall know that nothing was cut off. */
void
tcp_tls_end(struct tcp *t)
{
	if (t->tls == NULL)
		return;
	if (SSL_is_init_finished(t->tls))
		(void)SSL_shutdown(t->tls);
	ERR_clear_error();
	SSL_free(t->tls);
	t->tls = NULL;
}
