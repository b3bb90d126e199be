# SPDX-License-Identifier: Apache-2.0
plugins_LTLIBRARIES += plugins/toolkit_clock/toolkit_clock.la
plugins_toolkit_clock_toolkit_clock_la_SOURCES = \
	plugins/toolkit_clock/toolkit_clock.c
plugins_toolkit_clock_toolkit_clock_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
plugins_toolkit_clock_toolkit_clock_la_LDFLAGS = $(PLUGIN_LDFLAGS)
dist_man_MANS += plugins/toolkit_clock/toolkit_clock.7

check_PROGRAMS += tests/integration/t_toolkit_clock
tests_integration_t_toolkit_clock_SOURCES = tests/integration/t_toolkit_clock.c
tests_integration_t_toolkit_clock_LDADD = $(PLUG_TEST_LIBS)
