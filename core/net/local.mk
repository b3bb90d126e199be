# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libnet.la
CORE_LIBS += libnet.la
libnet_la_SOURCES = \
	core/net/failpoint_control.h \
	core/net/http_check.c \
	core/net/http_conn.c \
	core/net/http_impl.h \
	core/net/http_listen.c \
	core/net/http_origin.c \
	core/net/http_parse.c core/net/http_parse.h \
	core/net/http_peer.c \
	core/net/http_reply.c \
	core/net/http_req.c \
	core/net/http_run.c \
	core/net/http_server.c core/net/http_server.h \
	core/net/http_target.c core/net/http_target.h \
	core/net/http_write.c \
	core/net/router.c core/net/router.h \
	core/net/sse.c \
	core/net/static.c core/net/static.h \
	core/net/ws.c core/net/ws.h \
	core/net/ws_frame.c core/net/ws_frame.h
if ENABLE_FAILPOINTS
libnet_la_SOURCES += core/net/failpoint_control.c
endif

check_PROGRAMS += tests/unit/t_http_parse tests/unit/t_router
tests_unit_t_http_parse_SOURCES = tests/unit/t_http_parse.c
tests_unit_t_http_parse_LDADD = libnet.la libloop.la libbase.la $(TEST_LIBS)
tests_unit_t_router_SOURCES = tests/unit/t_router.c
tests_unit_t_router_LDADD = libnet.la libloop.la libbase.la $(TEST_LIBS)

check_LTLIBRARIES += tests/libsite.la
tests_libsite_la_SOURCES = \
	tests/integration/net_peer.c tests/integration/net_peer.h \
	tests/integration/site.c tests/integration/site.h
SITE_TEST_LIBS = tests/libsite.la libnet.la libloop.la libbase.la $(TEST_LIBS)
check_PROGRAMS += \
	tests/integration/t_http_connection \
	tests/integration/t_http_origin \
	tests/integration/t_http_server \
	tests/integration/t_http_static
tests_integration_t_http_connection_SOURCES = \
	tests/integration/t_http_connection.c
tests_integration_t_http_connection_LDADD = $(SITE_TEST_LIBS)
tests_integration_t_http_origin_SOURCES = tests/integration/t_http_origin.c
tests_integration_t_http_origin_LDADD = $(SITE_TEST_LIBS)
tests_integration_t_http_server_SOURCES = tests/integration/t_http_server.c
tests_integration_t_http_server_LDADD = $(SITE_TEST_LIBS)
tests_integration_t_http_static_SOURCES = tests/integration/t_http_static.c
tests_integration_t_http_static_LDADD = $(SITE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_ws tests/integration/t_sse
tests_integration_t_ws_SOURCES = tests/integration/t_ws.c
tests_integration_t_ws_LDADD = $(SITE_TEST_LIBS)
tests_integration_t_sse_SOURCES = tests/integration/t_sse.c
tests_integration_t_sse_LDADD = $(SITE_TEST_LIBS)

if ENABLE_FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_http tests/fuzz/fuzz_router \
	tests/fuzz/fuzz_ws
tests_fuzz_fuzz_http_SOURCES = tests/fuzz/fuzz_http.c
tests_fuzz_fuzz_http_LDADD = libnet.la libloop.la libbase.la $(DEP_LIBS)
tests_fuzz_fuzz_http_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_router_SOURCES = tests/fuzz/fuzz_router.c
tests_fuzz_fuzz_router_LDADD = libnet.la libloop.la libbase.la $(DEP_LIBS)
tests_fuzz_fuzz_router_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_ws_SOURCES = tests/fuzz/fuzz_ws.c
tests_fuzz_fuzz_ws_LDADD = libnet.la libloop.la libbase.la $(DEP_LIBS)
tests_fuzz_fuzz_ws_LDFLAGS = $(FUZZ_LDFLAGS)
endif
EXTRA_DIST += tests/fuzz/corpus/http tests/fuzz/http.dict \
	tests/fuzz/corpus/router tests/fuzz/router.dict \
	tests/fuzz/corpus/ws tests/fuzz/ws.dict

include $(top_srcdir)/core/net/client.mk
