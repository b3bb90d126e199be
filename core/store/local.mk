# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libstore.la
CORE_LIBS += libstore.la
libstore_la_SOURCES = \
	core/store/blob.c core/store/blob.h \
	core/store/file.c core/store/file.h \
	core/store/guest.c core/store/guest.h core/store/guest_sql.c \
	core/store/guest_memory.c \
	core/store/kv.c core/store/kv.h \
	core/store/migrate.c \
	core/store/row_page.c core/store/row_page.h \
	core/store/store.c core/store/store.h core/store/store_priv.h \
	core/store/store_args.c core/store/store_error.c \
	core/store/store_rows.c \
	core/store/store_pg.c core/store/store_pg.h \
	core/store/store_pg_conn.c \
	core/store/store_pg_guest.c core/store/store_pg_guest.h \
	core/store/store_pg_guest_run.c \
	core/store/store_pg_pipe.c \
	core/store/store_lock.h core/store/store_pg_lock.c \
	core/store/store_pg_look.c core/store/store_pg_place.c \
	core/store/store_pg_proxy.c core/store/store_pg_queue.c \
	core/store/store_pg_session.c \
	core/store/store_pg_set.c core/store/store_pg_value.c \
	core/store/store_pg_wait.c \
	core/store/store_sqlite.c core/store/store_sqlite.h \
	core/store/store_sqlite_conn.c core/store/store_sqlite_guest.c \
	core/store/store_sqlite_reader.c \
	core/store/store_sqlite_writer.c

check_LTLIBRARIES += tests/libstoreenv.la
tests_libstoreenv_la_SOURCES = \
	tests/integration/store_env.c tests/integration/store_env.h
STORE_TEST_LIBS = tests/libstoreenv.la libstore.la libloop.la libbase.la \
	$(TEST_LIBS)

check_PROGRAMS += tests/integration/t_store
tests_integration_t_store_SOURCES = tests/integration/t_store.c
tests_integration_t_store_LDADD = $(STORE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_store_fail
tests_integration_t_store_fail_SOURCES = tests/integration/t_store_fail.c
tests_integration_t_store_fail_LDADD = $(STORE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_store_time
tests_integration_t_store_time_SOURCES = tests/integration/t_store_time.c
tests_integration_t_store_time_LDADD = $(STORE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_store_set
tests_integration_t_store_set_SOURCES = tests/integration/t_store_set.c
tests_integration_t_store_set_LDADD = $(STORE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_blob
tests_integration_t_blob_SOURCES = tests/integration/t_blob.c
tests_integration_t_blob_LDADD = $(STORE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_kv
tests_integration_t_kv_SOURCES = tests/integration/t_kv.c
tests_integration_t_kv_LDADD = $(STORE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_store_silent
tests_integration_t_store_silent_SOURCES = tests/integration/t_store_silent.c
tests_integration_t_store_silent_LDADD = $(STORE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_guest
tests_integration_t_guest_SOURCES = tests/integration/t_guest.c
tests_integration_t_guest_LDADD = $(STORE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_upgrade
tests_integration_t_upgrade_SOURCES = tests/integration/t_upgrade.c
tests_integration_t_upgrade_LDADD = $(STORE_TEST_LIBS)

check_PROGRAMS += tests/integration/t_migrate
tests_integration_t_migrate_SOURCES = tests/integration/t_migrate.c
tests_integration_t_migrate_LDADD = $(STORE_TEST_LIBS)

check_PROGRAMS += tests/fault/t_power_loss
tests_fault_t_power_loss_SOURCES = tests/fault/t_power_loss.c \
	tests/fault/power_loss_vfs.c tests/fault/power_loss_vfs.h
tests_fault_t_power_loss_LDADD = $(STORE_TEST_LIBS)
