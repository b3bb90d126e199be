# SPDX-License-Identifier: Apache-2.0
plugins_LTLIBRARIES += plugins/vector_memory/vector_memory.la
plugins_vector_memory_vector_memory_la_SOURCES = \
	plugins/vector_memory/vector_memory.c
plugins_vector_memory_vector_memory_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
plugins_vector_memory_vector_memory_la_LDFLAGS = $(PLUGIN_LDFLAGS)
plugins_vector_memory_vector_memory_la_LIBADD = -lm
dist_man_MANS += plugins/vector_memory/vector_memory.7

check_PROGRAMS += tests/integration/t_vector
tests_integration_t_vector_SOURCES = tests/integration/t_vector.c
tests_integration_t_vector_LDADD = $(PLUG_TEST_LIBS)
