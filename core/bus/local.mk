# SPDX-License-Identifier: Apache-2.0

noinst_LTLIBRARIES += libbus.la
CORE_LIBS += libbus.la
libbus_la_SOURCES = \
	core/bus/breaker.c core/bus/breaker.h \
	core/bus/bus.h core/bus/bus_memory.c \
	core/bus/desk.c core/bus/desk.h \
	core/bus/live.c core/bus/live.h \
	core/bus/topics.c core/bus/topics.h

check_PROGRAMS += tests/unit/t_breaker
tests_unit_t_breaker_SOURCES = tests/unit/t_breaker.c
tests_unit_t_breaker_LDADD = libbus.la libloop.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_bus
tests_unit_t_bus_SOURCES = tests/unit/t_bus.c
tests_unit_t_bus_LDADD = libbus.la libloop.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/t_live
tests_unit_t_live_SOURCES = tests/unit/t_live.c
tests_unit_t_live_LDADD = libbus.la libloop.la libbase.la $(TEST_LIBS)
