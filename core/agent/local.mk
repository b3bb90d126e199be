# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libagent.la
CORE_LIBS += libagent.la
libagent_la_SOURCES = \
	core/agent/agent.c \
	core/agent/agent.h \
	core/agent/agent_write.c \
	core/agent/internal.h

check_PROGRAMS += tests/integration/t_agent
tests_integration_t_agent_SOURCES = tests/integration/t_agent.c
tests_integration_t_agent_LDADD = libagent.la $(STORE_TEST_LIBS)
