# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libapi.la
CORE_LIBS += libapi.la
libapi_la_SOURCES = \
	core/api/agents_api.c \
	core/api/ambient_api.c \
	core/api/api.c \
	core/api/api.h \
	core/api/app.h \
	core/api/bells.c core/api/bells.h \
	core/api/auth_api.c \
	core/api/branches.c \
	core/api/chat.c \
	core/api/chat_ctx.h \
	core/api/events.c \
	core/api/files_api.c \
	core/api/handlers.h \
	core/api/health_api.c \
	core/api/hooks_api.c core/api/hooks_api.h \
	core/api/idempotency.c \
	core/api/inbox_api.c \
	core/api/internal.h \
	core/api/models_api.c \
	core/api/openapi.c \
	core/api/openapi.h \
	core/api/operator_api.c \
	core/api/page.c \
	core/api/page.h \
	core/api/plugins_api.c \
	core/api/root.c \
	core/api/routes.c \
	core/api/routes.h \
	core/api/runs.c \
	core/api/schedules_api.c \
	core/api/schemas.c \
	core/api/schemas.h \
	core/api/schemas_agents.c \
	core/api/schemas_ambient.c \
	core/api/schemas_auth.c \
	core/api/schemas_branches.c \
	core/api/schemas_chat.c \
	core/api/schemas_events.c \
	core/api/schemas_files.c \
	core/api/schemas_hooks.c \
	core/api/schemas_impl.h \
	core/api/schemas_inbox.c \
	core/api/schemas_models.c \
	core/api/schemas_plugins.c \
	core/api/schemas_schedules.c \
	core/api/seats.c \
	core/api/seats.h \
	core/api/strikes.c \
	core/api/strikes.h \
	core/api/toolkits_api.c \
	core/api/triggers_api.c \
	core/api/ticket_api.c \
	core/api/ws.c core/api/ws_frames.c core/api/ws_impl.h

check_PROGRAMS += tests/unit/t_page
tests_unit_t_page_SOURCES = tests/unit/t_page.c
tests_unit_t_page_LDADD = libapi.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_seats
tests_unit_t_seats_SOURCES = tests/unit/t_seats.c
tests_unit_t_seats_LDADD = libapi.la libbus.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_strikes
tests_unit_t_strikes_SOURCES = tests/unit/t_strikes.c
tests_unit_t_strikes_LDADD = libapi.la libbase.la $(TEST_LIBS)
