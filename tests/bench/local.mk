# SPDX-License-Identifier: Apache-2.0
# Built and run by script/bench.
EXTRA_PROGRAMS += tests/bench/fiber tests/bench/stub_model \
	tests/bench/chat_load tests/bench/raw_sqlite tests/bench/run_load \
	tests/bench/plug tests/bench/viewers tests/bench/bus_load \
	tests/bench/write_loop tests/bench/rest_load tests/bench/reconnect \
	tests/bench/polite tests/bench/rude
BENCH_CLIENT = tests/bench/ws_client.c tests/bench/ws_client.h
BENCH_REST = tests/bench/rest_client.c tests/bench/rest_client.h
tests_bench_fiber_SOURCES = tests/bench/fiber.c
tests_bench_fiber_LDADD = libnet.la libloop.la libbase.la $(DEP_LIBS)
tests_bench_stub_model_SOURCES = tests/bench/stub_model.c
tests_bench_stub_model_LDADD =
tests_bench_chat_load_SOURCES = tests/bench/chat_load.c $(BENCH_CLIENT)
tests_bench_chat_load_LDADD =
tests_bench_viewers_SOURCES = tests/bench/viewers.c $(BENCH_CLIENT)
tests_bench_viewers_LDADD =
tests_bench_write_loop_SOURCES = tests/bench/write_loop.c $(BENCH_CLIENT)
tests_bench_write_loop_LDADD =
tests_bench_rest_load_SOURCES = tests/bench/rest_load.c $(BENCH_CLIENT) \
	$(BENCH_REST)
tests_bench_rest_load_LDADD =
tests_bench_reconnect_SOURCES = tests/bench/reconnect.c $(BENCH_CLIENT)
tests_bench_reconnect_LDADD =
tests_bench_polite_SOURCES = tests/bench/polite.c $(BENCH_CLIENT) \
	$(BENCH_REST)
tests_bench_polite_LDADD =
tests_bench_rude_SOURCES = tests/bench/rude.c $(BENCH_CLIENT)
tests_bench_rude_LDADD =
tests_bench_bus_load_SOURCES = tests/bench/bus_load.c $(BENCH_CLIENT)
tests_bench_bus_load_LDADD = $(CORE_LIBS) $(DEP_LIBS)
tests_bench_raw_sqlite_SOURCES = tests/bench/raw_sqlite.c
tests_bench_raw_sqlite_LDADD = $(SQLITE_LIBS)
tests_bench_run_load_SOURCES = tests/bench/run_load.c
tests_bench_run_load_LDADD = $(CORE_LIBS) $(DEP_LIBS)
tests_bench_plug_SOURCES = tests/bench/plug.c
tests_bench_plug_LDADD = $(CORE_LIBS) $(DEP_LIBS)
EXTRA_LTLIBRARIES = tests/bench/toolkit_mirror.la
tests_bench_toolkit_mirror_la_SOURCES = tests/bench/toolkit_mirror.c
tests_bench_toolkit_mirror_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
tests_bench_toolkit_mirror_la_LDFLAGS = $(PROBE_LDFLAGS)
bench-programs: $(EXTRA_PROGRAMS) $(EXTRA_LTLIBRARIES)
.PHONY: bench-programs
CLEANFILES += $(EXTRA_PROGRAMS) $(EXTRA_LTLIBRARIES)
EXTRA_DIST += tests/bench/bench.py tests/bench/tools.py tests/bench/plane.py \
	tests/bench/abuse.py tests/bench/overload.mjs
