# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libchat.la
CORE_LIBS += libchat.la
libchat_la_SOURCES = \
	core/chat/access.c core/chat/access.h \
	core/chat/ambient.c core/chat/ambient.h \
	core/chat/chat.h \
	core/chat/item.c core/chat/item.h \
	core/chat/log.c \
	core/chat/operator.c core/chat/operator.h \
	core/chat/pump.c core/chat/pump.h \
	core/chat/queue.c core/chat/queue.h core/chat/queue_impl.h \
	core/chat/queue_watch.c \
	core/chat/runs.c \
	core/chat/branch.c core/chat/branch.h core/chat/branch_tree.c \
	core/chat/checkpoint.c core/chat/checkpoint.h \
	core/chat/fork.c core/chat/fork.h \
	core/chat/send.c core/chat/send.h core/chat/send_behind.c \
	core/chat/send_impl.h core/chat/send_parts.c \
	core/chat/snapshot.c core/chat/snapshot.h \
	core/chat/stream.c core/chat/stream.h core/chat/stream_impl.h \
	core/chat/stream_log.c \
	core/chat/stream_poll.c core/chat/stream_poll.h \
	core/chat/stream_text.c core/chat/stream_text.h \
	core/chat/thread.c

check_PROGRAMS += tests/integration/t_node
tests_integration_t_node_SOURCES = tests/integration/t_node.c
tests_integration_t_node_LDADD = libcmd.la libchat.la libauth.la librun.la libagent.la libbus.la \
	$(STORE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_queue
tests_integration_t_queue_SOURCES = tests/integration/t_queue.c
tests_integration_t_queue_LDADD = libchat.la libauth.la librun.la libagent.la libbus.la \
	$(STORE_TEST_LIBS)

check_PROGRAMS += tests/unit/t_pump
tests_unit_t_pump_SOURCES = tests/unit/t_pump.c
tests_unit_t_pump_LDADD = libchat.la libauth.la librun.la libagent.la libbus.la \
	$(STORE_TEST_LIBS)
