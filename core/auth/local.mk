# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libauth.la
CORE_LIBS += libauth.la
libauth_la_SOURCES = \
	core/auth/audit.c \
	core/auth/auth.c \
	core/auth/auth.h \
	core/auth/cache.c \
	core/auth/cache.h \
	core/auth/idempotency_store.c \
	core/auth/idempotency_store.h \
	core/auth/internal.h \
	core/auth/jwt.c \
	core/auth/jwt.h \
	core/auth/key_file.c \
	core/auth/key_file.h \
	core/auth/principal.c \
	core/auth/principal.h \
	core/auth/quota.c \
	core/auth/quota.h \
	core/auth/seal.c \
	core/auth/seal.h \
	core/auth/secret.c \
	core/auth/session.c \
	core/auth/throttle.c \
	core/auth/ticket.c \
	core/auth/user.c

check_PROGRAMS += tests/unit/t_auth_cache
tests_unit_t_auth_cache_SOURCES = tests/unit/t_auth_cache.c
tests_unit_t_auth_cache_LDADD = libauth.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_jwt
tests_unit_t_jwt_SOURCES = tests/unit/t_jwt.c
tests_unit_t_jwt_LDADD = libauth.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_seal
tests_unit_t_seal_SOURCES = tests/unit/t_seal.c
tests_unit_t_seal_LDADD = libauth.la libbase.la $(TEST_LIBS)

if ENABLE_FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_jwt
tests_fuzz_fuzz_jwt_SOURCES = tests/fuzz/fuzz_jwt.c
tests_fuzz_fuzz_jwt_LDADD = libauth.la libbase.la $(DEP_LIBS)
tests_fuzz_fuzz_jwt_LDFLAGS = $(FUZZ_LDFLAGS)
endif
EXTRA_DIST += tests/fuzz/corpus/jwt tests/fuzz/jwt.dict

check_LTLIBRARIES += tests/libauthenv.la
tests_libauthenv_la_SOURCES = \
	tests/integration/auth_env.c tests/integration/auth_env.h
AUTH_TEST_LIBS = tests/libauthenv.la libauth.la libbus.la $(STORE_TEST_LIBS)
check_PROGRAMS += tests/integration/t_auth tests/integration/t_session
tests_integration_t_auth_SOURCES = tests/integration/t_auth.c
tests_integration_t_auth_LDADD = $(AUTH_TEST_LIBS)
tests_integration_t_session_SOURCES = tests/integration/t_session.c
tests_integration_t_session_LDADD = $(AUTH_TEST_LIBS)

check_PROGRAMS += tests/integration/t_idempotency
tests_integration_t_idempotency_SOURCES = tests/integration/t_idempotency.c
tests_integration_t_idempotency_LDADD = libauth.la $(STORE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_quota
tests_integration_t_quota_SOURCES = tests/integration/t_quota.c
tests_integration_t_quota_LDADD = \
	libhook.la libsched.la librun.la libagent.la libauth.la $(STORE_TEST_LIBS)
