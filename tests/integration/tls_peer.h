/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_TLS_PEER_H
#define TESTS_INTEGRATION_TLS_PEER_H

/*
 * A server on 127.0.0.1 that says again what it hears, one connection after the
 * other.  Who begins with TLS gets it; who says "STARTTLS\n" hears "go\n" and
 * then gets it; after "BYE\n" it closes; to "HANG\n" it says nothing.
 *
 * Its certificate is for "localhost" and in the file that SSL_CERT_FILE names
 * from then on; for "evil.test" it has one that nobody vouches for.
 */

int tls_peer_start(const char *dir); /* its port */
void tls_peer_stop(void);

#endif
