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
