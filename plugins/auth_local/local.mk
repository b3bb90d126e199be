# SPDX-License-Identifier: Apache-2.0
plugins_LTLIBRARIES += plugins/auth_local/auth_local.la
plugins_auth_local_auth_local_la_SOURCES = \
	plugins/auth_local/auth_local.c
plugins_auth_local_auth_local_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
plugins_auth_local_auth_local_la_LDFLAGS = $(PLUGIN_LDFLAGS)
plugins_auth_local_auth_local_la_LIBADD = $(SODIUM_LIBS)
dist_man_MANS += plugins/auth_local/auth_local.7

check_PROGRAMS += tests/integration/t_auth_local
tests_integration_t_auth_local_SOURCES = tests/integration/t_auth_local.c
tests_integration_t_auth_local_LDADD = $(PLUG_TEST_LIBS)
