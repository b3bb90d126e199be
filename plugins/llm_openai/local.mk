# SPDX-License-Identifier: Apache-2.0
plugins_LTLIBRARIES += plugins/llm_openai/llm_openai.la
plugins_llm_openai_llm_openai_la_SOURCES = \
	plugins/llm_openai/llm_openai.c plugins/llm_openai/openai.h \
	plugins/llm_openai/chat.c plugins/llm_openai/embed.c \
	plugins/llm_openai/request.c
plugins_llm_openai_llm_openai_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
plugins_llm_openai_llm_openai_la_LDFLAGS = $(PLUGIN_LDFLAGS)
dist_man_MANS += plugins/llm_openai/llm_openai.7
