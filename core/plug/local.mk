# SPDX-License-Identifier: Apache-2.0
# noinst_LTLIBRARIES += libplug.la
# CORE_LIBS += libplug.la
# libplug_la_SOURCES =
