# SPDX-License-Identifier: Apache-2.0

noinst_LTLIBRARIES += libloop.la
CORE_LIBS += libloop.la
libloop_la_SOURCES = \
	core/loop/crumb.c core/loop/crumb.h \
	core/loop/fault.c \
	core/loop/fiber.c core/loop/fiber.h \
	core/loop/impl.h \
	core/loop/loop.c core/loop/loop.h \
	core/loop/pool.c core/loop/pool.h \
	core/loop/program.c core/loop/program.h \
	core/loop/program_child.c core/loop/program_impl.h \
	core/loop/stack.c core/loop/stack.h \
	core/loop/switch.c core/loop/switch.h \
	core/loop/timer.c \
	core/loop/watch.c

check_PROGRAMS += tests/unit/t_crumb
tests_unit_t_crumb_SOURCES = tests/unit/t_crumb.c
tests_unit_t_crumb_LDADD = libloop.la libbase.la $(TEST_LIBS)

check_LTLIBRARIES += tests/libfiberenv.la
tests_libfiberenv_la_SOURCES = tests/unit/fiber_env.c tests/unit/fiber_env.h
FIBER_TEST_LIBS = tests/libfiberenv.la libloop.la libbase.la $(TEST_LIBS)
check_PROGRAMS += tests/unit/t_fiber tests/unit/t_fiber_fatal \
	tests/unit/t_fiber_memory tests/unit/t_fiber_wait
tests_unit_t_fiber_SOURCES = tests/unit/t_fiber.c
tests_unit_t_fiber_LDADD = $(FIBER_TEST_LIBS)
tests_unit_t_fiber_fatal_SOURCES = tests/unit/t_fiber_fatal.c
tests_unit_t_fiber_fatal_LDADD = $(FIBER_TEST_LIBS)
tests_unit_t_fiber_memory_SOURCES = tests/unit/t_fiber_memory.c
tests_unit_t_fiber_memory_LDADD = $(FIBER_TEST_LIBS)
tests_unit_t_fiber_wait_SOURCES = tests/unit/t_fiber_wait.c
tests_unit_t_fiber_wait_LDADD = $(FIBER_TEST_LIBS)

check_PROGRAMS += tests/unit/t_loop tests/unit/t_pool
tests_unit_t_loop_SOURCES = tests/unit/t_loop.c
tests_unit_t_loop_LDADD = libloop.la libbase.la $(TEST_LIBS)
tests_unit_t_pool_SOURCES = tests/unit/t_pool.c
tests_unit_t_pool_LDADD = libloop.la libbase.la $(TEST_LIBS)

TESTS += tests/integration/fiber_gdb.sh
EXTRA_DIST += tests/integration/fiber_gdb.sh
