# SPDX-License-Identifier: Apache-2.0
sdkincludedir = $(includedir)/agentstudio
sdkinclude_HEADERS = \
	sdk/include/agentstudio/auth.h \
	sdk/include/agentstudio/db.h \
	sdk/include/agentstudio/error.h \
	sdk/include/agentstudio/host.h \
	sdk/include/agentstudio/json.h \
	sdk/include/agentstudio/llm.h \
	sdk/include/agentstudio/option.h \
	sdk/include/agentstudio/plugin.h \
	sdk/include/agentstudio/process.h \
	sdk/include/agentstudio/stream.h \
	sdk/include/agentstudio/toolkit.h \
	sdk/include/agentstudio/vector.h \
	sdk/include/agentstudio/version.h

EXTRA_DIST += sdk/abi/1.0 sdk/abi/freeze

exampledir = $(docdir)/examples/toolkit_dice
dist_example_DATA = \
	sdk/examples/toolkit_dice/Makefile \
	sdk/examples/toolkit_dice/check.json \
	sdk/examples/toolkit_dice/toolkit_dice.c
exampleccdir = $(docdir)/examples/toolkit_dice_cc
dist_examplecc_DATA = \
	sdk/examples/toolkit_dice_cc/Makefile \
	sdk/examples/toolkit_dice_cc/check.json \
	sdk/examples/toolkit_dice_cc/plugin.map \
	sdk/examples/toolkit_dice_cc/toolkit_dice_cc.cc
examplersdir = $(docdir)/examples/toolkit_words_rs
dist_examplers_DATA = \
	sdk/examples/toolkit_words_rs/Makefile \
	sdk/examples/toolkit_words_rs/check.json \
	sdk/examples/toolkit_words_rs/toolkit_words_rs.rs
TESTS += tests/integration/examples.sh

sdkdocdir = $(docdir)/sdk
dist_sdkdoc_DATA = \
	docs/sdk/README.md \
	docs/sdk/abi.md \
	docs/sdk/auth.md \
	docs/sdk/checking.md \
	docs/sdk/debugging.md \
	docs/sdk/llm.md \
	docs/sdk/toolkit.md \
	docs/sdk/tutorial.md \
	docs/sdk/vector.md

# Made of the headers; without python3 it is not there.
EXTRA_DIST += sdk/reference.py
if HAVE_PYTHON3
nodist_sdkdoc_DATA = docs/sdk/reference.md
CLEANFILES += docs/sdk/reference.md
docs/sdk/reference.md: sdk/reference.py $(sdkinclude_HEADERS)
	$(AM_V_GEN)$(MKDIR_P) docs/sdk && \
	$(PYTHON3) $(srcdir)/sdk/reference.py $(srcdir)/sdk/include \
	    >$@.tmp && mv $@.tmp $@
endif

check_PROGRAMS += tests/abi/t_layout
tests_abi_t_layout_SOURCES = tests/abi/t_layout.c
tests_abi_t_layout_LDADD = libbase.la $(TEST_LIBS)
EXTRA_DIST += tests/abi/layout.def
TESTS += tests/abi/headers.sh tests/abi/frozen.sh
EXTRA_DIST += tests/abi/headers.sh tests/abi/frozen.sh
