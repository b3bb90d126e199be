# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += librun.la
CORE_LIBS += librun.la
librun_la_SOURCES = \
	core/run/ambient.c core/run/ambient.h \
	core/run/answer.c core/run/answer.h core/run/answer_commit.c \
	core/run/answer_stream.c \
	core/run/approval.c core/run/approval.h \
	core/run/ask.c core/run/ask.h core/run/ask_tool.c core/run/ask_tool.h \
	core/run/batch.c core/run/batch.h \
	core/run/blocked.c \
	core/run/breaker_store.c core/run/breaker_store.h \
	core/run/builtin.c core/run/builtin.h \
	core/run/call.c core/run/call.h core/run/call_result.c \
	core/run/compact.c core/run/compact.h core/run/compact_plan.c \
	core/run/child.c core/run/child.h \
	core/run/engine.c core/run/engine.h \
	core/run/event.c core/run/event.h \
	core/run/expire.c \
	core/run/finish.c \
	core/run/fold.c core/run/fold.h \
	core/run/history.c core/run/history.h \
	core/run/item_bell.c core/run/item_bell.h \
	core/run/mutant.h \
	core/run/limits.c core/run/limits.h \
	core/run/orphan.c \
	core/run/park.c \
	core/run/prompt.c core/run/prompt.h \
	core/run/rebuild.c core/run/rebuild.h \
	core/run/replay.c core/run/replay.h core/run/replay_impl.h \
	core/run/replay_compare.c core/run/replay_record.c \
	core/run/replay_store.c core/run/replay_world.c \
	core/run/retry.c core/run/retry.h \
	core/run/run.c core/run/run.h \
	core/run/respond.c \
	core/run/run_block.c core/run/run_block.h \
	core/run/run_branch.c core/run/run_branch.h \
	core/run/run_claim.c core/run/run_inbox.c core/run/run_node.c \
	core/run/run_note.c \
	core/run/run_queue.c \
	core/run/run_read.c core/run/run_store_sql.c \
	core/run/run_metrics.c core/run/run_metrics.h \
	core/run/run_log.h core/run/run_outbox.c core/run/run_outbox.h \
	core/run/run_store.c core/run/run_store.h core/run/run_store_impl.h \
	core/run/run_store_child.c core/run/run_store_child.h \
	core/run/run_store_park.c core/run/run_store_park.h \
	core/run/sweep.c core/run/sweep.h \
	core/run/run_store_pg.c core/run/run_store_pg.h \
	core/run/run_store_pg_commit.c core/run/run_store_pg_impl.h \
	core/run/settle.c \
	core/run/slots.c \
	core/run/tools.c core/run/tools_result.c \
	core/run/trickle.c core/run/trickle.h \
	core/run/what_if.c core/run/what_if.h \
	core/run/wire.c core/run/wire.h \
	core/run/work.c core/run/work.h core/run/work_commit.c \
	core/run/world.c core/run/world.h

check_PROGRAMS += tests/unit/t_approval
tests_unit_t_approval_SOURCES = tests/unit/t_approval.c
tests_unit_t_approval_LDADD = librun.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_event
tests_unit_t_event_SOURCES = tests/unit/t_event.c
tests_unit_t_event_LDADD = librun.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_fold
tests_unit_t_fold_SOURCES = tests/unit/t_fold.c
tests_unit_t_fold_LDADD = librun.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_history
tests_unit_t_history_SOURCES = tests/unit/t_history.c
tests_unit_t_history_LDADD = librun.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_compact
tests_unit_t_compact_SOURCES = tests/unit/t_compact.c
tests_unit_t_compact_LDADD = librun.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_limits
tests_unit_t_limits_SOURCES = tests/unit/t_limits.c
tests_unit_t_limits_LDADD = librun.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_trickle
tests_unit_t_trickle_SOURCES = tests/unit/t_trickle.c
tests_unit_t_trickle_LDADD = librun.la libloop.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_retry
tests_unit_t_retry_SOURCES = tests/unit/t_retry.c
tests_unit_t_retry_LDADD = librun.la libbase.la $(TEST_LIBS)

check_LTLIBRARIES += tests/libengineenv.la
tests_libengineenv_la_SOURCES = \
	tests/integration/engine_env.c tests/integration/engine_env.h \
	tests/integration/fake_plug.c tests/integration/fake_plug.h \
	tests/integration/people_env.c tests/integration/people_env.h
ENGINE_TEST_LIBS = tests/libengineenv.la libchat.la libauth.la librun.la libagent.la \
	libbus.la libplug.la $(STORE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_engine
tests_integration_t_engine_SOURCES = tests/integration/t_engine.c
tests_integration_t_engine_LDADD = $(ENGINE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_reader
tests_integration_t_reader_SOURCES = tests/integration/t_reader.c
tests_integration_t_reader_LDADD = $(ENGINE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_takeover
tests_integration_t_takeover_SOURCES = tests/integration/t_takeover.c
tests_integration_t_takeover_LDADD = $(ENGINE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_recovery
tests_integration_t_recovery_SOURCES = tests/integration/t_recovery.c
tests_integration_t_recovery_LDADD = $(ENGINE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_parked
tests_integration_t_parked_SOURCES = tests/integration/t_parked.c
tests_integration_t_parked_LDADD = $(ENGINE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_run_limits
tests_integration_t_run_limits_SOURCES = tests/integration/t_run_limits.c
tests_integration_t_run_limits_LDADD = $(ENGINE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_run_ends
tests_integration_t_run_ends_SOURCES = tests/integration/t_run_ends.c
tests_integration_t_run_ends_LDADD = $(ENGINE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_breaker_store
tests_integration_t_breaker_store_SOURCES = \
	tests/integration/t_breaker_store.c
tests_integration_t_breaker_store_LDADD = librun.la libbus.la \
	$(STORE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_reap
tests_integration_t_reap_SOURCES = tests/integration/t_reap.c
tests_integration_t_reap_LDADD = librun.la $(STORE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_ask
tests_integration_t_ask_SOURCES = tests/integration/t_ask.c
tests_integration_t_ask_LDADD = $(ENGINE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_interrupt
tests_integration_t_interrupt_SOURCES = tests/integration/t_interrupt.c
tests_integration_t_interrupt_LDADD = $(ENGINE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_interrupt_many
tests_integration_t_interrupt_many_SOURCES = tests/integration/t_interrupt_many.c
tests_integration_t_interrupt_many_LDADD = $(ENGINE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_interrupt_end
tests_integration_t_interrupt_end_SOURCES = tests/integration/t_interrupt_end.c
tests_integration_t_interrupt_end_LDADD = $(ENGINE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_unknown
tests_integration_t_unknown_SOURCES = tests/integration/t_unknown.c
tests_integration_t_unknown_LDADD = $(ENGINE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_late
tests_integration_t_late_SOURCES = tests/integration/t_late.c
tests_integration_t_late_LDADD = $(ENGINE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_drain
tests_integration_t_drain_SOURCES = tests/integration/t_drain.c
tests_integration_t_drain_LDADD = $(ENGINE_TEST_LIBS)

check_LTLIBRARIES += tests/librunenv.la
tests_librunenv_la_SOURCES = \
	tests/integration/run_env.c tests/integration/run_env.h
RUN_TEST_LIBS = tests/librunenv.la $(ENGINE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_rebuild
tests_integration_t_rebuild_SOURCES = tests/integration/t_rebuild.c
tests_integration_t_rebuild_LDADD = $(RUN_TEST_LIBS)

check_PROGRAMS += tests/integration/t_replay
tests_integration_t_replay_SOURCES = tests/integration/t_replay.c
tests_integration_t_replay_LDADD = $(RUN_TEST_LIBS)

# The same engine but for the order of its results.
check_PROGRAMS += tests/integration/t_replay_mutant
tests_integration_t_replay_mutant_SOURCES = \
	tests/integration/t_replay_mutant.c core/run/tools_result.c
tests_integration_t_replay_mutant_CPPFLAGS = $(AM_CPPFLAGS) -DREPLAY_MUTANT
tests_integration_t_replay_mutant_LDADD = $(RUN_TEST_LIBS)
