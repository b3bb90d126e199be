# SPDX-License-Identifier: Apache-2.0
include $(top_srcdir)/plugins/auth_local/local.mk
include $(top_srcdir)/plugins/llm_demo/local.mk
include $(top_srcdir)/plugins/llm_openai/local.mk
include $(top_srcdir)/plugins/toolkit_calculator/local.mk
include $(top_srcdir)/plugins/toolkit_clock/local.mk
include $(top_srcdir)/plugins/toolkit_http/local.mk
include $(top_srcdir)/plugins/vector_memory/local.mk
