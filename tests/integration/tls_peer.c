/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/tls_peer.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/mem.h"

static struct {
	int fd;
	pthread_t thread;
	SSL_CTX *good, *evil;
} peer;

/* ---- Certificates -------------------------------------------------- */

static X509 *
certificate(const char *name, EVP_PKEY *key)
{
	char *alt = xasprintf("DNS:%s", name);
	X509 *x = X509_new();
	X509_EXTENSION *e;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
	    (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	MUST(X509_sign(x, key, EVP_sha256()) > 0);
	free(alt);
	return x;
}

/* path: where the certificate goes, or NULL. */
static SSL_CTX *
context(const char *name, const char *path)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = certificate(name, key);
	FILE *f;

	MUST(SSL_CTX_use_certificate(ctx, x) == 1);
	MUST(SSL_CTX_use_PrivateKey(ctx, key) == 1);
	if (path != NULL) {
		MUST((f = fopen(path, "w")) != NULL);
		MUST(PEM_write_X509(f, x) == 1);
		fclose(f);
	}
	X509_free(x);
	EVP_PKEY_free(key);
	return ctx;
}

static int
choose(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	(void)arg;
	if (name != NULL && strcmp(name, "evil.test") == 0)
		SSL_set_SSL_CTX(ssl, peer.evil);
	return SSL_TLSEXT_ERR_OK;
}

/* ---- Connections --------------------------------------------------- */

static int
hear(int fd, SSL *ssl, char *buf, int size)
{
	return ssl != NULL ? SSL_read(ssl, buf, size)
			   : (int)read(fd, buf, (size_t)size);
}

static void
say(int fd, SSL *ssl, const char *p, int n)
{
	int sent = ssl != NULL ? SSL_write(ssl, p, n)
			       : (int)send(fd, p, (size_t)n, MSG_NOSIGNAL);

	if (sent != n)
		shutdown(fd, SHUT_RDWR);
}

static bool
is_word(const char *buf, int n, const char *word)
{
	return n == (int)strlen(word) && memcmp(buf, word, (size_t)n) == 0;
}

static SSL *
secure(int fd)
{
	SSL *ssl = SSL_new(peer.good);

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}

static void
talk(int fd)
{
	char buf[65536];
	SSL *ssl = NULL;
	int n;

	if (recv(fd, buf, 1, MSG_PEEK) == 1 && buf[0] == 0x16 &&
	    (ssl = secure(fd)) == NULL)
		return;
	while ((n = hear(fd, ssl, buf, sizeof(buf))) > 0) {
		if (is_word(buf, n, "BYE\n"))
			break;
		if (is_word(buf, n, "STARTTLS\n")) {
			say(fd, NULL, "go\n", 3);
			if ((ssl = secure(fd)) == NULL)
				return;
		} else if (!is_word(buf, n, "HANG\n"))
			say(fd, ssl, buf, n);
	}
	if (ssl != NULL)
		SSL_shutdown(ssl);
	SSL_free(ssl);
}

static void *
peer_main(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept(peer.fd, NULL, NULL)) >= 0) {
		talk(fd);
		close(fd);
	}
	return NULL;
}

int
tls_peer_start(const char *dir)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	char *path = xasprintf("%s/ca.pem", dir);

	peer.good = context("localhost", path);
	peer.evil = context("evil.test", NULL);
	SSL_CTX_set_tlsext_servername_callback(peer.good, choose);
	setenv("SSL_CERT_FILE", path, 1);
	free(path);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	peer.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(bind(peer.fd, (struct sockaddr *)&sin, sizeof(sin)) == 0);
	MUST(listen(peer.fd, 16) == 0);
	MUST(getsockname(peer.fd, (struct sockaddr *)&sin, &len) == 0);
	MUST(pthread_create(&peer.thread, NULL, peer_main, NULL) == 0);
	return ntohs(sin.sin_port);
}

void
tls_peer_stop(void)
{
	shutdown(peer.fd, SHUT_RDWR);
	pthread_join(peer.thread, NULL);
	close(peer.fd);
	SSL_CTX_free(peer.good);
	SSL_CTX_free(peer.evil);
}
