# SPDX-License-Identifier: Apache-2.0
plugins_LTLIBRARIES += plugins/llm_demo/llm_demo.la
plugins_llm_demo_llm_demo_la_SOURCES = \
	plugins/llm_demo/llm_demo.c \
	plugins/llm_demo/text.c \
	plugins/llm_demo/find.c \
	plugins/llm_demo/answer.c \
	plugins/llm_demo/script.c \
	plugins/llm_demo/demo.h
plugins_llm_demo_llm_demo_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
plugins_llm_demo_llm_demo_la_LDFLAGS = $(PLUGIN_LDFLAGS)
plugins_llm_demo_llm_demo_la_LIBADD = -lm
dist_man_MANS += plugins/llm_demo/llm_demo.7

check_PROGRAMS += tests/integration/t_llm_demo
tests_integration_t_llm_demo_SOURCES = tests/integration/t_llm_demo.c
tests_integration_t_llm_demo_LDADD = $(PLUG_TEST_LIBS)
