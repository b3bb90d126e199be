# SPDX-License-Identifier: Apache-2.0
# noinst_LTLIBRARIES += libauth.la
# CORE_LIBS += libauth.la
# libauth_la_SOURCES =
