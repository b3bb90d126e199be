# SPDX-License-Identifier: Apache-2.0
# noinst_LTLIBRARIES += libbase.la
# CORE_LIBS += libbase.la
# libbase_la_SOURCES =
