# SPDX-License-Identifier: Apache-2.0

noinst_LTLIBRARIES += libbus.la
CORE_LIBS += libbus.la
libbus_la_SOURCES = \
	core/bus/bus.h core/bus/bus_memory.c \
	core/bus/live.c core/bus/live.h \
	core/bus/topics.c core/bus/topics.h
