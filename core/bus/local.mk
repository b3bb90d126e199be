# SPDX-License-Identifier: Apache-2.0
# noinst_LTLIBRARIES += libbus.la
# CORE_LIBS += libbus.la
# libbus_la_SOURCES =
