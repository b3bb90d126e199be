# SPDX-License-Identifier: Apache-2.0
# Built and run by script/test: see docs/faults.md.
EXTRA_PROGRAMS += tests/fault/check_runs
tests_fault_check_runs_SOURCES = tests/fault/check_runs.c \
	tests/fault/check_client.c tests/fault/check_drill.c \
	tests/fault/check_gc.c tests/fault/check_inbox.c \
	tests/fault/check_log.c \
	tests/fault/check_rows.c tests/fault/check_webhooks.c \
	tests/fault/check_witness.c \
	tests/fault/check.h
tests_fault_check_runs_LDADD = librun.la libstore.la libloop.la libbase.la $(DEP_LIBS)

check_LTLIBRARIES += tests/fault/toolkit_witness.la
tests_fault_toolkit_witness_la_SOURCES = tests/fault/toolkit_witness.c
tests_fault_toolkit_witness_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
tests_fault_toolkit_witness_la_LDFLAGS = $(PROBE_LDFLAGS)

# Calls what it replaces by nothing, so it needs no sanitizer.
check_LTLIBRARIES += tests/fault/power_loss_shim.la
tests_fault_power_loss_shim_la_SOURCES = tests/fault/power_loss_shim.c
tests_fault_power_loss_shim_la_CFLAGS = $(AM_CFLAGS) -fno-sanitize=all
tests_fault_power_loss_shim_la_LDFLAGS = -module -avoid-version -rpath /nowhere

fault-programs: tests/fault/check_runs tests/fault/toolkit_witness.la \
		tests/fault/power_loss_shim.la
.PHONY: fault-programs
