# SPDX-License-Identifier: Apache-2.0
# The client half of this room.
noinst_LTLIBRARIES += libclient.la
CORE_LIBS += libclient.la
libclient_la_SOURCES = \
	core/net/http_client.c core/net/http_client.h \
	core/net/http_client_impl.h core/net/http_curl.c \
	core/net/http_guard.c core/net/http_stream.c \
	core/net/http_hop.c core/net/http_hop.h \
	core/net/sse_parser.c core/net/sse_parser.h \
	core/net/tcp.c core/net/tcp.h core/net/tcp_impl.h core/net/tcp_tls.c

check_PROGRAMS += tests/unit/t_sse_parser
tests_unit_t_sse_parser_SOURCES = tests/unit/t_sse_parser.c
tests_unit_t_sse_parser_LDADD = libclient.la libloop.la libbase.la $(TEST_LIBS)

check_LTLIBRARIES += tests/libfarserver.la
tests_libfarserver_la_SOURCES = \
	tests/integration/far_server.c tests/integration/far_server.h
check_PROGRAMS += tests/integration/t_http_client \
	tests/integration/t_http_client_fail
tests_integration_t_http_client_SOURCES = tests/integration/t_http_client.c
tests_integration_t_http_client_LDADD = tests/libfarserver.la \
	libclient.la libloop.la libbase.la $(TEST_LIBS)
tests_integration_t_http_client_fail_SOURCES = \
	tests/integration/t_http_client_fail.c
tests_integration_t_http_client_fail_LDADD = tests/libfarserver.la \
	libclient.la libloop.la libbase.la $(TEST_LIBS)

if ENABLE_FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_sse
tests_fuzz_fuzz_sse_SOURCES = tests/fuzz/fuzz_sse.c
tests_fuzz_fuzz_sse_LDADD = libclient.la libloop.la libbase.la $(DEP_LIBS)
tests_fuzz_fuzz_sse_LDFLAGS = $(FUZZ_LDFLAGS)
endif
EXTRA_DIST += tests/fuzz/corpus/sse tests/fuzz/sse.dict

check_PROGRAMS += tests/integration/t_llm_openai
tests_integration_t_llm_openai_SOURCES = tests/integration/t_llm_openai.c
EXTRA_DIST += tests/support/stub_model.mjs
