# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libinbox.la
CORE_LIBS += libinbox.la
libinbox_la_SOURCES = \
	core/inbox/answer.c core/inbox/answer.h \
	core/inbox/changes.c core/inbox/changes.h \
	core/inbox/check.c core/inbox/coerce.c \
	core/inbox/feed.c core/inbox/feed.h \
	core/inbox/gauge.c core/inbox/gauge.h \
	core/inbox/inbox.c core/inbox/inbox.h \
	core/inbox/internal.h core/inbox/late.c \
	core/inbox/respond.c core/inbox/respond.h \
	core/inbox/watch.c core/inbox/watch.h

check_PROGRAMS += tests/unit/t_answer
tests_unit_t_answer_SOURCES = tests/unit/t_answer.c
tests_unit_t_answer_LDADD = libinbox.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/integration/t_inbox
tests_integration_t_inbox_SOURCES = tests/integration/t_inbox.c
tests_integration_t_inbox_LDADD = libinbox.la $(ENGINE_TEST_LIBS)
