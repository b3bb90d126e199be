# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libcmd.la
CORE_LIBS += libcmd.la
libcmd_la_SOURCES = \
	core/cmd/check.c core/cmd/check.h \
	core/cmd/conf_show.c \
	core/cmd/options.c core/cmd/options.h \
	core/cmd/settings.c core/cmd/settings.h
