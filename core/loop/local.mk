# SPDX-License-Identifier: Apache-2.0
# noinst_LTLIBRARIES += libloop.la
# CORE_LIBS += libloop.la
# libloop_la_SOURCES =
