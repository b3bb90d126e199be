# SPDX-License-Identifier: Apache-2.0
plugins_LTLIBRARIES += plugins/toolkit_calculator/toolkit_calculator.la
plugins_toolkit_calculator_toolkit_calculator_la_SOURCES = \
	plugins/toolkit_calculator/toolkit_calculator.c \
	plugins/toolkit_calculator/expression.c \
	plugins/toolkit_calculator/expression.h
plugins_toolkit_calculator_toolkit_calculator_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
plugins_toolkit_calculator_toolkit_calculator_la_LDFLAGS = $(PLUGIN_LDFLAGS)
plugins_toolkit_calculator_toolkit_calculator_la_LIBADD = -lm
dist_man_MANS += plugins/toolkit_calculator/toolkit_calculator.7

check_PROGRAMS += tests/unit/t_calculator
tests_unit_t_calculator_SOURCES = \
	tests/unit/t_calculator.c \
	plugins/toolkit_calculator/expression.c \
	plugins/toolkit_calculator/expression.h
tests_unit_t_calculator_LDADD = libbase.la $(TEST_LIBS)
