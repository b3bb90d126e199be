# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libnet.la
CORE_LIBS += libnet.la
libnet_la_SOURCES = \
	core/net/http_parse.c core/net/http_parse.h \
	core/net/http_target.c core/net/http_target.h \
	core/net/router.c core/net/router.h

check_PROGRAMS += tests/unit/t_http_parse tests/unit/t_router
tests_unit_t_http_parse_SOURCES = tests/unit/t_http_parse.c
tests_unit_t_router_SOURCES = tests/unit/t_router.c

include $(top_srcdir)/core/net/client.mk
