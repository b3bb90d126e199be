# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libplug.la
CORE_LIBS += libplug.la
libplug_la_SOURCES = \
	core/plug/auth.c \
	core/plug/call.c \
	core/plug/call.h \
	core/plug/channel.c \
	core/plug/channel.h \
	core/plug/channel_callee.c \
	core/plug/chat.c \
	core/plug/describe.c \
	core/plug/elf.c \
	core/plug/elf.h \
	core/plug/embed.c \
	core/plug/exchange.c \
	core/plug/host.c \
	core/plug/host.h \
	core/plug/host_emit.c \
	core/plug/host_http.c \
	core/plug/host_json.c \
	core/plug/host_kv.c \
	core/plug/host_later.c \
	core/plug/life.c \
	core/plug/load.c \
	core/plug/log_count.c \
	core/plug/marshal.c \
	core/plug/models.c \
	core/plug/msg.h \
	core/plug/op.c \
	core/plug/origin.c \
	core/plug/origin.h \
	core/plug/plug.h \
	core/plug/serve.c \
	core/plug/tool.c \
	core/plug/unit.c \
	core/plug/unit.h
