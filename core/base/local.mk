# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libbase.la
CORE_LIBS += libbase.la
libbase_la_SOURCES = \
	core/base/arena.c core/base/arena.h \
	core/base/buf.c core/base/buf.h \
	core/base/civil.c core/base/civil.h \
	core/base/clock.c core/base/clock.h \
	core/base/conf.c core/base/conf.h core/base/conf_impl.h \
	core/base/conf_load.c core/base/conf_scan.c core/base/conf_secret.c \
	core/base/conf_field.c core/base/conf_section.c \
	core/base/counter.c core/base/counter.h \
	core/base/error.c core/base/error.h core/base/error.def \
	core/base/failpoint.c core/base/failpoint.h \
	core/base/field.c core/base/field_text.c \
	core/base/folder.c core/base/folder.h \
	core/base/hash.c core/base/hash.h \
	core/base/json.c core/base/json.h core/base/json_names.c \
	core/base/json_names.h core/base/json_parse.c core/base/json_tape.c \
	core/base/json_tape.h core/base/json_write.c core/base/json_write.h \
	core/base/log.c core/base/log.h \
	core/base/mem.c core/base/mem.h \
	core/base/schema.c core/base/schema.h core/base/schema_check.c \
	core/base/schema_compile.c core/base/schema_impl.h \
	core/base/text.c core/base/text.h core/base/text_time.c \
	core/base/uuid.c core/base/uuid.h

check_PROGRAMS += \
	tests/unit/t_arena tests/unit/t_buf tests/unit/t_clock \
	tests/unit/t_conf tests/unit/t_counter tests/unit/t_error \
	tests/unit/t_failpoint \
	tests/unit/t_hash tests/unit/t_json tests/unit/t_log \
	tests/unit/t_schema tests/unit/t_text tests/unit/t_uuid
tests_unit_t_arena_SOURCES = tests/unit/t_arena.c
tests_unit_t_arena_LDADD = libbase.la $(TEST_LIBS)
tests_unit_t_buf_SOURCES = tests/unit/t_buf.c
tests_unit_t_buf_LDADD = libbase.la $(TEST_LIBS)
tests_unit_t_clock_SOURCES = tests/unit/t_clock.c
tests_unit_t_clock_LDADD = libbase.la $(TEST_LIBS)
tests_unit_t_conf_SOURCES = tests/unit/t_conf.c
tests_unit_t_conf_LDADD = libbase.la $(TEST_LIBS)
tests_unit_t_counter_SOURCES = tests/unit/t_counter.c
tests_unit_t_counter_LDADD = libbase.la $(TEST_LIBS)
tests_unit_t_error_SOURCES = tests/unit/t_error.c
tests_unit_t_error_LDADD = libbase.la $(TEST_LIBS)
tests_unit_t_failpoint_SOURCES = tests/unit/t_failpoint.c
tests_unit_t_failpoint_LDADD = libbase.la $(TEST_LIBS)
tests_unit_t_hash_SOURCES = tests/unit/t_hash.c
tests_unit_t_hash_LDADD = libbase.la $(TEST_LIBS)
tests_unit_t_json_SOURCES = tests/unit/t_json.c
tests_unit_t_json_LDADD = libbase.la $(TEST_LIBS)
tests_unit_t_log_SOURCES = tests/unit/t_log.c
tests_unit_t_log_LDADD = libbase.la $(TEST_LIBS)
tests_unit_t_schema_SOURCES = tests/unit/t_schema.c
tests_unit_t_schema_LDADD = libbase.la $(TEST_LIBS)
tests_unit_t_text_SOURCES = tests/unit/t_text.c
tests_unit_t_text_LDADD = libbase.la $(TEST_LIBS)
tests_unit_t_uuid_SOURCES = tests/unit/t_uuid.c
tests_unit_t_uuid_LDADD = libbase.la $(TEST_LIBS)

if ENABLE_FUZZ
noinst_PROGRAMS += \
	tests/fuzz/fuzz_conf tests/fuzz/fuzz_json tests/fuzz/fuzz_schema
tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c
tests_fuzz_fuzz_conf_LDADD = libbase.la $(DEP_LIBS)
tests_fuzz_fuzz_conf_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_json_SOURCES = tests/fuzz/fuzz_json.c
tests_fuzz_fuzz_json_LDADD = libbase.la $(DEP_LIBS)
tests_fuzz_fuzz_json_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_schema_SOURCES = tests/fuzz/fuzz_schema.c
tests_fuzz_fuzz_schema_LDADD = libbase.la $(DEP_LIBS)
tests_fuzz_fuzz_schema_LDFLAGS = $(FUZZ_LDFLAGS)
endif

EXTRA_DIST += \
	tests/fuzz/conf.dict tests/fuzz/json.dict tests/fuzz/schema.dict \
	tests/fuzz/corpus/conf tests/fuzz/corpus/json tests/fuzz/corpus/schema
