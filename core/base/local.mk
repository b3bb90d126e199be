# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libbase.la
CORE_LIBS += libbase.la
libbase_la_SOURCES = \
	core/base/arena.c core/base/arena.h \
	core/base/buf.c core/base/buf.h \
	core/base/clock.c core/base/clock.h \
	core/base/conf.c core/base/conf.h core/base/conf_impl.h \
	core/base/conf_load.c core/base/conf_scan.c core/base/conf_secret.c \
	core/base/conf_section.c \
	core/base/counter.c core/base/counter.h \
	core/base/error.c core/base/error.h core/base/error.def \
	core/base/field.c core/base/field_text.c \
	core/base/hash.c core/base/hash.h \
	core/base/json.c core/base/json.h core/base/json_parse.c \
	core/base/log.c core/base/log.h \
	core/base/mem.c core/base/mem.h \
	core/base/schema.c core/base/schema.h core/base/schema_check.c \
	core/base/schema_impl.h \
	core/base/text.c core/base/text.h core/base/text_time.c \
	core/base/uuid.c core/base/uuid.h
