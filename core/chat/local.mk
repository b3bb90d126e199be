# SPDX-License-Identifier: Apache-2.0
# noinst_LTLIBRARIES += libchat.la
# CORE_LIBS += libchat.la
# libchat_la_SOURCES =
