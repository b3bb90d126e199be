# SPDX-License-Identifier: Apache-2.0
check_LTLIBRARIES += tests/libtap.la
tests_libtap_la_SOURCES = tests/tap.c tests/tap.h
include $(top_srcdir)/tests/bench/local.mk
include $(top_srcdir)/tests/fault/local.mk
include $(top_srcdir)/tests/sim/local.mk
