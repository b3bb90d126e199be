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
	core/plug/child.c \
	core/plug/child.h \
	core/plug/child_ask.c \
	core/plug/child_call.c \
	core/plug/child_confine.c \
	core/plug/child_describe.c \
	core/plug/child_file.c \
	core/plug/child_guard.c \
	core/plug/child_guest.c \
	core/plug/child_spawn.c \
	core/plug/child_wire.c \
	core/plug/child_wire.h \
	core/plug/describe.c \
	core/plug/effect.c \
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
	core/plug/pointer.c \
	core/plug/pointer.h \
	core/plug/registry.c \
	core/plug/serve.c \
	core/plug/tool.c \
	core/plug/unit.c \
	core/plug/unit.h

# Plugins that tests load; never installed.
PROBE_LDFLAGS = $(PLUGIN_LDFLAGS) -rpath /nowhere
check_LTLIBRARIES += \
	tests/integration/plug/toolkit_probe.la \
	tests/integration/plug/toolkit_home.la \
	tests/integration/plug/toolkit_pool.la
tests_integration_plug_toolkit_probe_la_SOURCES = tests/integration/plug/probe.c
tests_integration_plug_toolkit_probe_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DPROBE_NAME='"toolkit_probe"' -DPROBE_FLAGS=AS_PARALLEL
tests_integration_plug_toolkit_probe_la_LDFLAGS = $(PROBE_LDFLAGS)
tests_integration_plug_toolkit_home_la_SOURCES = tests/integration/plug/probe.c
tests_integration_plug_toolkit_home_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DPROBE_NAME='"toolkit_home"' -DPROBE_FLAGS=0
tests_integration_plug_toolkit_home_la_LDFLAGS = $(PROBE_LDFLAGS)
tests_integration_plug_toolkit_pool_la_SOURCES = tests/integration/plug/probe.c
tests_integration_plug_toolkit_pool_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DPROBE_NAME='"toolkit_pool"' -DPROBE_FLAGS=AS_BLOCKING
tests_integration_plug_toolkit_pool_la_LDFLAGS = $(PROBE_LDFLAGS)

check_LTLIBRARIES += \
	tests/integration/plug/toolkit_crash.la \
	tests/integration/plug/toolkit_crashhome.la \
	tests/integration/plug/toolkit_crashpool.la
tests_integration_plug_toolkit_crash_la_SOURCES = tests/integration/plug/crash.c
tests_integration_plug_toolkit_crash_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DCRASH_NAME='"toolkit_crash"' -DCRASH_FLAGS=AS_PARALLEL
tests_integration_plug_toolkit_crash_la_LDFLAGS = $(PROBE_LDFLAGS)
tests_integration_plug_toolkit_crashhome_la_SOURCES = tests/integration/plug/crash.c
tests_integration_plug_toolkit_crashhome_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DCRASH_NAME='"toolkit_crashhome"' -DCRASH_FLAGS=0
tests_integration_plug_toolkit_crashhome_la_LDFLAGS = $(PROBE_LDFLAGS)
tests_integration_plug_toolkit_crashpool_la_SOURCES = tests/integration/plug/crash.c
tests_integration_plug_toolkit_crashpool_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DCRASH_NAME='"toolkit_crashpool"' -DCRASH_FLAGS=AS_BLOCKING
tests_integration_plug_toolkit_crashpool_la_LDFLAGS = $(PROBE_LDFLAGS)

check_LTLIBRARIES += \
	tests/integration/plug/toolkit_hostile.la \
	tests/integration/plug/toolkit_hostilepool.la \
	tests/integration/plug/toolkit_hostileload.la
tests_integration_plug_toolkit_hostile_la_SOURCES = tests/integration/plug/hostile.c
tests_integration_plug_toolkit_hostile_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DHOSTILE_NAME='"toolkit_hostile"' -DHOSTILE_FLAGS=0
tests_integration_plug_toolkit_hostile_la_LDFLAGS = $(PROBE_LDFLAGS)
tests_integration_plug_toolkit_hostilepool_la_SOURCES = tests/integration/plug/hostile.c
tests_integration_plug_toolkit_hostilepool_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DHOSTILE_NAME='"toolkit_hostilepool"' -DHOSTILE_FLAGS=AS_BLOCKING
tests_integration_plug_toolkit_hostilepool_la_LDFLAGS = $(PROBE_LDFLAGS)
tests_integration_plug_toolkit_hostileload_la_SOURCES = tests/integration/plug/hostile.c
tests_integration_plug_toolkit_hostileload_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DHOSTILE_NAME='"toolkit_hostileload"' -DHOSTILE_FLAGS=0 -DHOSTILE_LOAD
tests_integration_plug_toolkit_hostileload_la_LDFLAGS = $(PROBE_LDFLAGS)

check_LTLIBRARIES += tests/integration/plug/toolkit_bad1.la
tests_integration_plug_toolkit_bad1_la_SOURCES = tests/integration/plug/bad.c
tests_integration_plug_toolkit_bad1_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DBAD=1 -DBAD_NAME='"toolkit_bad1"'
tests_integration_plug_toolkit_bad1_la_LDFLAGS = $(PROBE_LDFLAGS)

check_LTLIBRARIES += tests/integration/plug/toolkit_bad2.la
tests_integration_plug_toolkit_bad2_la_SOURCES = tests/integration/plug/bad.c
tests_integration_plug_toolkit_bad2_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DBAD=2 -DBAD_NAME='"toolkit_bad2"'
tests_integration_plug_toolkit_bad2_la_LDFLAGS = $(PROBE_LDFLAGS)

check_LTLIBRARIES += tests/integration/plug/toolkit_bad3.la
tests_integration_plug_toolkit_bad3_la_SOURCES = tests/integration/plug/bad.c
tests_integration_plug_toolkit_bad3_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DBAD=3 -DBAD_NAME='"toolkit_bad3"'
tests_integration_plug_toolkit_bad3_la_LDFLAGS = $(PROBE_LDFLAGS)

check_LTLIBRARIES += tests/integration/plug/toolkit_bad4.la
tests_integration_plug_toolkit_bad4_la_SOURCES = tests/integration/plug/bad.c
tests_integration_plug_toolkit_bad4_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DBAD=4 -DBAD_NAME='"toolkit_bad4"'
tests_integration_plug_toolkit_bad4_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere

check_LTLIBRARIES += tests/integration/plug/toolkit_bad5.la
tests_integration_plug_toolkit_bad5_la_SOURCES = tests/integration/plug/bad.c
tests_integration_plug_toolkit_bad5_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DBAD=5 -DBAD_NAME='"toolkit_bad5"'
tests_integration_plug_toolkit_bad5_la_LDFLAGS = $(PROBE_LDFLAGS)

check_LTLIBRARIES += tests/integration/plug/toolkit_bad6.la
tests_integration_plug_toolkit_bad6_la_SOURCES = tests/integration/plug/bad.c
tests_integration_plug_toolkit_bad6_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DBAD=6 -DBAD_NAME='"toolkit_bad6"'
tests_integration_plug_toolkit_bad6_la_LDFLAGS = $(PROBE_LDFLAGS)

check_LTLIBRARIES += tests/integration/plug/toolkit_bad7.la
tests_integration_plug_toolkit_bad7_la_SOURCES = tests/integration/plug/bad.c
tests_integration_plug_toolkit_bad7_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DBAD=7 -DBAD_NAME='"toolkit_bad7"'
tests_integration_plug_toolkit_bad7_la_LDFLAGS = $(PROBE_LDFLAGS)

check_LTLIBRARIES += tests/integration/plug/toolkit_bad8.la
tests_integration_plug_toolkit_bad8_la_SOURCES = tests/integration/plug/bad.c
tests_integration_plug_toolkit_bad8_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DBAD=8 -DBAD_NAME='"toolkit_bad8"'
tests_integration_plug_toolkit_bad8_la_LDFLAGS = $(PROBE_LDFLAGS)

check_LTLIBRARIES += tests/integration/plug/toolkit_bad9.la
tests_integration_plug_toolkit_bad9_la_SOURCES = tests/integration/plug/bad.c
tests_integration_plug_toolkit_bad9_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DBAD=9 -DBAD_NAME='"toolkit_bad9"'
tests_integration_plug_toolkit_bad9_la_LDFLAGS = $(PROBE_LDFLAGS)

check_LTLIBRARIES += tests/integration/plug/toolkit_short.la
tests_integration_plug_toolkit_short_la_SOURCES = tests/integration/plug/short.c
tests_integration_plug_toolkit_short_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
tests_integration_plug_toolkit_short_la_LDFLAGS = $(PROBE_LDFLAGS)

check_LTLIBRARIES += tests/libplugenv.la
tests_libplugenv_la_SOURCES = \
	tests/integration/plug_env.c tests/integration/plug_env.h
PLUG_TEST_LIBS = tests/libplugenv.la libplug.la libclient.la libloop.la \
	libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/integration/t_plug
tests_integration_t_plug_SOURCES = tests/integration/t_plug.c
tests_integration_t_plug_LDADD = $(PLUG_TEST_LIBS)

check_PROGRAMS += tests/integration/t_child
tests_integration_t_child_SOURCES = tests/integration/t_child.c
tests_integration_t_child_LDADD = $(PLUG_TEST_LIBS)

check_PROGRAMS += tests/integration/t_marshal
tests_integration_t_marshal_SOURCES = tests/integration/t_marshal.c
tests_integration_t_marshal_LDADD = $(PLUG_TEST_LIBS)

check_PROGRAMS += tests/unit/t_effect
tests_unit_t_effect_SOURCES = tests/unit/t_effect.c
tests_unit_t_effect_LDADD = $(PLUG_TEST_LIBS)

check_PROGRAMS += tests/unit/t_plug_json
tests_unit_t_plug_json_SOURCES = tests/unit/t_plug_json.c
tests_unit_t_plug_json_LDADD = $(PLUG_TEST_LIBS)

if ENABLE_FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_frame
tests_fuzz_fuzz_frame_SOURCES = tests/fuzz/fuzz_frame.c
tests_fuzz_fuzz_frame_LDADD = libplug.la libbase.la $(DEP_LIBS)
tests_fuzz_fuzz_frame_LDFLAGS = $(FUZZ_LDFLAGS)
endif
EXTRA_DIST += tests/fuzz/corpus/frame tests/fuzz/frame.dict
