# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libhook.la
CORE_LIBS += libhook.la
libhook_la_SOURCES = \
	core/hook/delivery.c \
	core/hook/hook.h \
	core/hook/message.c \
	core/hook/outbox.c core/hook/outbox.h \
	core/hook/owned.c core/hook/owned.h \
	core/hook/rate.c core/hook/rate.h \
	core/hook/retry_after.c \
	core/hook/secret.c core/hook/secret.h \
	core/hook/sender.c core/hook/sender.h core/hook/sender_impl.h \
	core/hook/signature.c core/hook/signature.h \
	core/hook/template.c core/hook/template.h \
	core/hook/trigger.c \
	core/hook/trigger_fire.c core/hook/trigger_fire.h \
	core/hook/webhook.c

check_PROGRAMS += tests/unit/t_hook
tests_unit_t_hook_SOURCES = tests/unit/t_hook.c
tests_unit_t_hook_LDADD = libhook.la libbus.la libloop.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/integration/t_outbox
tests_integration_t_outbox_SOURCES = tests/integration/t_outbox.c
tests_integration_t_outbox_LDADD = libhook.la libauth.la \
	$(ENGINE_TEST_LIBS)

if ENABLE_FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_hook
tests_fuzz_fuzz_hook_SOURCES = tests/fuzz/fuzz_hook.c
tests_fuzz_fuzz_hook_LDADD = libhook.la libbase.la $(DEP_LIBS)
tests_fuzz_fuzz_hook_LDFLAGS = $(FUZZ_LDFLAGS)
endif
EXTRA_DIST += tests/fuzz/corpus/hook tests/fuzz/hook.dict
