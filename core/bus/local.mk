# SPDX-License-Identifier: Apache-2.0

noinst_LTLIBRARIES += libbus.la
CORE_LIBS += libbus.la
libbus_la_SOURCES = \
	core/bus/breaker.c core/bus/breaker.h \
	core/bus/breaker_redis.c core/bus/breaker_redis.h \
	core/bus/bus.h core/bus/bus_memory.c core/bus/bus_remote.h \
	core/bus/bus_ask.c core/bus/bus_fetch.c core/bus/bus_hear.c \
	core/bus/bus_keep.c core/bus/bus_link.c core/bus/bus_link.h \
	core/bus/bus_redis.c core/bus/bus_redis.h \
	core/bus/desk.c core/bus/desk.h \
	core/bus/live.c core/bus/live.h \
	core/bus/rate_redis.c core/bus/rate_redis.h \
	core/bus/redis.c core/bus/redis.h core/bus/redis_impl.h \
	core/bus/redis_connect.c core/bus/redis_talk.c core/bus/redis_url.c \
	core/bus/redis_look.c core/bus/redis_look.h \
	core/bus/redis_lookup.c core/bus/redis_lookup.h \
	core/bus/redis_reader.c core/bus/redis_reader.h \
	core/bus/sentinel.c core/bus/sentinel.h \
	core/bus/topics.c core/bus/topics.h \
	core/bus/wire.c core/bus/wire.h

check_PROGRAMS += tests/unit/t_breaker
tests_unit_t_breaker_SOURCES = tests/unit/t_breaker.c
tests_unit_t_breaker_LDADD = libbus.la libloop.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_bus
tests_unit_t_bus_SOURCES = tests/unit/t_bus.c
tests_unit_t_bus_LDADD = libbus.la libloop.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_live
tests_unit_t_live_SOURCES = tests/unit/t_live.c
tests_unit_t_live_LDADD = libbus.la libloop.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_wire
tests_unit_t_wire_SOURCES = tests/unit/t_wire.c
tests_unit_t_wire_LDADD = libbus.la libloop.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/integration/t_redis
tests_integration_t_redis_SOURCES = tests/integration/t_redis.c \
	tests/integration/redis_env.c tests/integration/redis_env.h
tests_integration_t_redis_LDADD = libbus.la libloop.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/integration/t_bus_redis
tests_integration_t_bus_redis_SOURCES = tests/integration/t_bus_redis.c \
	tests/integration/redis_env.c tests/integration/redis_env.h \
	tests/integration/redis_node.c tests/integration/redis_node.h
tests_integration_t_bus_redis_LDADD = libbus.la libloop.la libbase.la \
	$(TEST_LIBS)

check_PROGRAMS += tests/integration/t_shared
tests_integration_t_shared_SOURCES = tests/integration/t_shared.c \
	tests/integration/redis_env.c tests/integration/redis_env.h \
	tests/integration/redis_node.c tests/integration/redis_node.h
tests_integration_t_shared_LDADD = libbus.la libloop.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/integration/t_sentinel
tests_integration_t_sentinel_SOURCES = tests/integration/t_sentinel.c
tests_integration_t_sentinel_LDADD = libbus.la libloop.la libbase.la \
	$(TEST_LIBS)

if ENABLE_FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_wire
tests_fuzz_fuzz_wire_SOURCES = tests/fuzz/fuzz_wire.c
tests_fuzz_fuzz_wire_LDADD = libbus.la libloop.la libbase.la $(DEP_LIBS)
tests_fuzz_fuzz_wire_LDFLAGS = $(FUZZ_LDFLAGS)
endif
EXTRA_DIST += tests/fuzz/corpus/wire tests/fuzz/wire.dict
