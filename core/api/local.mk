# SPDX-License-Identifier: Apache-2.0
# noinst_LTLIBRARIES += libapi.la
# CORE_LIBS += libapi.la
# libapi_la_SOURCES =
