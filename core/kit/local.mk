# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += libkit.la
CORE_LIBS += libkit.la
libkit_la_SOURCES = \
	core/kit/case.c \
	core/kit/check.c \
	core/kit/describe.c \
	core/kit/file.c \
	core/kit/impl.h \
	core/kit/judge.c \
	core/kit/kit.h \
	core/kit/link.c \
	core/kit/ops.c \
	core/kit/probe.c \
	core/kit/rules.c \
	core/kit/rules.def \
	core/kit/said.c \
	core/kit/sample.c \
	core/kit/script.c core/kit/script.h \
	core/kit/serve.c \
	core/kit/serve_file.c core/kit/serve_host.c \
	core/kit/serve_program.c core/kit/serve_stream.c \
	core/kit/setup.c \
	core/kit/trouble.c \
	core/kit/vectors.c

TESTS += tests/integration/kit_broken.py tests/integration/kit_bundled.sh
