# SPDX-License-Identifier: Apache-2.0

noinst_LTLIBRARIES += libloop.la
CORE_LIBS += libloop.la
libloop_la_SOURCES = \
	core/loop/fault.c \
	core/loop/fiber.c core/loop/fiber.h \
	core/loop/impl.h \
	core/loop/loop.c core/loop/loop.h \
	core/loop/pool.c core/loop/pool.h \
	core/loop/stack.c core/loop/stack.h \
	core/loop/switch.c core/loop/switch.h \
	core/loop/timer.c \
	core/loop/watch.c
