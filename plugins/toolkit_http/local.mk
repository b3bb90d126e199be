# SPDX-License-Identifier: Apache-2.0
plugins_LTLIBRARIES += plugins/toolkit_http/toolkit_http.la
plugins_toolkit_http_toolkit_http_la_SOURCES = \
	plugins/toolkit_http/toolkit_http.c
plugins_toolkit_http_toolkit_http_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
plugins_toolkit_http_toolkit_http_la_LDFLAGS = $(PLUGIN_LDFLAGS)
dist_man_MANS += plugins/toolkit_http/toolkit_http.7

check_PROGRAMS += tests/integration/t_toolkit_http
tests_integration_t_toolkit_http_SOURCES = tests/integration/t_toolkit_http.c
tests_integration_t_toolkit_http_LDADD = $(PLUG_TEST_LIBS)
