# SPDX-License-Identifier: Apache-2.0
# noinst_LTLIBRARIES += libstore.la
# CORE_LIBS += libstore.la
# libstore_la_SOURCES =
