# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libcmd.la
CORE_LIBS += libcmd.la
libcmd_la_SOURCES = \
	core/cmd/settings.c core/cmd/settings.h
