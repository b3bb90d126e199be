# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libsched.la
CORE_LIBS += libsched.la
libsched_la_SOURCES = \
	core/sched/cron.c \
	core/sched/cron.h \
	core/sched/cron_next.c \
	core/sched/fire.c \
	core/sched/fire.h \
	core/sched/fire_claim.c \
	core/sched/fire_impl.h \
	core/sched/fire_start.c \
	core/sched/sched.c \
	core/sched/sched.h \
	core/sched/schedule.c \
	core/sched/schedule.h \
	core/sched/schedule_write.c \
	core/sched/zone.c \
	core/sched/zone.h \
	core/sched/zone_file.c \
	core/sched/zone_impl.h \
	core/sched/zone_rule.c \
	core/sched/zone_rule.h

check_PROGRAMS += tests/unit/t_cron tests/unit/t_zone tests/integration/t_zones
tests_unit_t_cron_SOURCES = tests/unit/t_cron.c
tests_unit_t_cron_LDADD = libsched.la libbase.la $(TEST_LIBS)
tests_unit_t_zone_SOURCES = tests/unit/t_zone.c
tests_unit_t_zone_LDADD = libsched.la libbase.la $(TEST_LIBS)
tests_integration_t_zones_SOURCES = tests/integration/t_zones.c
tests_integration_t_zones_LDADD = libsched.la libbase.la $(TEST_LIBS)

if ENABLE_FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_cron tests/fuzz/fuzz_zone
tests_fuzz_fuzz_cron_SOURCES = tests/fuzz/fuzz_cron.c
tests_fuzz_fuzz_cron_LDADD = libsched.la libbase.la $(DEP_LIBS)
tests_fuzz_fuzz_cron_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_zone_SOURCES = tests/fuzz/fuzz_zone.c
tests_fuzz_fuzz_zone_LDADD = libsched.la libbase.la $(DEP_LIBS)
tests_fuzz_fuzz_zone_LDFLAGS = $(FUZZ_LDFLAGS)
endif

EXTRA_DIST += \
	tests/fuzz/cron.dict tests/fuzz/zone.dict \
	tests/fuzz/corpus/cron tests/fuzz/corpus/zone
