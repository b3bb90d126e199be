# SPDX-License-Identifier: Apache-2.0
# noinst_LTLIBRARIES += libnet.la
# CORE_LIBS += libnet.la
# libnet_la_SOURCES =
