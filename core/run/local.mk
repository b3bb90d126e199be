# SPDX-License-Identifier: Apache-2.0
# noinst_LTLIBRARIES += librun.la
# CORE_LIBS += librun.la
# librun_la_SOURCES =
