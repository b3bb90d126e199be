# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libcmd.la
CORE_LIBS += libcmd.la
libcmd_la_SOURCES = \
	core/cmd/chat.c \
	core/cmd/check.c core/cmd/check.h \
	core/cmd/client.c core/cmd/client.h \
	core/cmd/cmd.h core/cmd/command.c core/cmd/command.h \
	core/cmd/conf_show.c \
	core/cmd/control.c core/cmd/control.h core/cmd/control_ask.c \
	core/cmd/control_impl.h \
	core/cmd/database.c core/cmd/database.h \
	core/cmd/doctor.c core/cmd/doctor.h core/cmd/doctor_host.c \
	core/cmd/doctor_pg.c core/cmd/doctor_pg_look.c \
	core/cmd/doctor_redis.c \
	core/cmd/migrate.c \
	core/cmd/node.c core/cmd/node.h core/cmd/node_impl.h \
	core/cmd/node_beat.c core/cmd/node_bells.c core/cmd/node_claim.c \
	core/cmd/node_epoch.c \
	core/cmd/node_control.c core/cmd/node_crumb.c \
	core/cmd/node_drain.c core/cmd/node_notify.c \
	core/cmd/node_env.c core/cmd/node_env.h \
	core/cmd/node_loop.c core/cmd/node_metrics.c core/cmd/node_plug.c \
	core/cmd/node_report.c core/cmd/node_sched.c core/cmd/node_watch.c \
	core/cmd/options.c core/cmd/options.h \
	core/cmd/plugin.c core/cmd/plugin_host.c \
	core/cmd/plugin_check.c core/cmd/plugin_check.h \
	core/cmd/plugin_new.c core/cmd/plugin_new.h \
	core/cmd/plugin_live.c core/cmd/plugin_live.h \
	core/cmd/rebuild.c core/cmd/replay.c \
	core/cmd/runs.c \
	core/cmd/serve.c \
	core/cmd/settings.c core/cmd/settings.h \
	core/cmd/systemd.c core/cmd/systemd.h \
	core/cmd/worker.c

check_PROGRAMS += tests/unit/t_options tests/unit/t_settings \
	tests/unit/t_control tests/unit/t_doctor tests/unit/t_systemd
tests_unit_t_doctor_SOURCES = tests/unit/t_doctor.c
tests_unit_t_doctor_LDADD = libcmd.la libbus.la libbase.la $(TEST_LIBS)
tests_unit_t_control_SOURCES = tests/unit/t_control.c
tests_unit_t_control_LDADD = libcmd.la libloop.la libbase.la $(TEST_LIBS)
tests_unit_t_systemd_SOURCES = tests/unit/t_systemd.c
tests_unit_t_systemd_LDADD = libcmd.la libbase.la $(TEST_LIBS)
tests_unit_t_options_SOURCES = tests/unit/t_options.c
tests_unit_t_options_LDADD = libcmd.la libbase.la $(TEST_LIBS)
tests_unit_t_settings_SOURCES = tests/unit/t_settings.c
tests_unit_t_settings_LDADD = libcmd.la libbus.la libbase.la $(TEST_LIBS)

TESTS += tests/integration/check.sh tests/integration/commands.sh \
	tests/integration/plugin_bad.sh tests/integration/plugin_new.sh
EXTRA_DIST += tests/integration/check.sh tests/integration/commands.sh \
	tests/integration/plugin_bad.sh tests/integration/plugin_new.sh \
	tests/integration/program.sh tests/integration/tap.sh
