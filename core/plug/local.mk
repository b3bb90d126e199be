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
	core/plug/child_watch.c core/plug/child_wire.c \
	core/plug/child_wire.h \
	core/plug/describe.c \
	core/plug/effect.c \
	core/plug/elf.c \
	core/plug/elf.h \
	core/plug/embed.c \
	core/plug/exchange.c \
	core/plug/frames.c core/plug/frames.h \
	core/plug/grant.c \
	core/plug/grant.h \
	core/plug/host.c \
	core/plug/host.h \
	core/plug/host_account.c \
	core/plug/host_ask.c \
	core/plug/host_db.c \
	core/plug/host_emit.c \
	core/plug/host_file.c \
	core/plug/host_http.c \
	core/plug/host_json.c \
	core/plug/host_kv.c \
	core/plug/host_process.c \
	core/plug/host_tcp.c \
	core/plug/latency.c \
	core/plug/latency.h \
	core/plug/lend.c \
	core/plug/life.c \
	core/plug/load.c \
	core/plug/log_count.c \
	core/plug/marshal.c \
	core/plug/metrics.c \
	core/plug/models.c \
	core/plug/msg.h \
	core/plug/offer.c \
	core/plug/op.c \
	core/plug/origin.c \
	core/plug/origin.h \
	core/plug/plug.h \
	core/plug/pointer.c \
	core/plug/pointer.h \
	core/plug/registry.c \
	core/plug/reload.c \
	core/plug/serve.c \
	core/plug/serve_account.c \
	core/plug/serve_ask.c \
	core/plug/plug.c core/plug/programs.c \
	core/plug/serve.h \
	core/plug/serve_db.c \
	core/plug/serve_file.c \
	core/plug/serve_process.c \
	core/plug/serve_tcp.c \
	core/plug/tool.c \
	core/plug/tree.h \
	core/plug/unit.c core/plug/unit_load.c \
	core/plug/unit.h \
	core/plug/vector.c \
	core/plug/watch.c

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
	tests/integration/plug/toolkit_services.la \
	tests/integration/plug/toolkit_serviceshome.la \
	tests/integration/plug/toolkit_servicespool.la \
	tests/integration/plug/toolkit_servicesno.la
tests_integration_plug_toolkit_services_la_SOURCES = tests/integration/plug/services.c
tests_integration_plug_toolkit_services_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DSERVICES_NAME='"toolkit_services"' -DSERVICES_FLAGS=AS_PARALLEL
tests_integration_plug_toolkit_services_la_LDFLAGS = $(PROBE_LDFLAGS)
tests_integration_plug_toolkit_serviceshome_la_SOURCES = tests/integration/plug/services.c
tests_integration_plug_toolkit_serviceshome_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DSERVICES_NAME='"toolkit_serviceshome"' -DSERVICES_FLAGS=0
tests_integration_plug_toolkit_serviceshome_la_LDFLAGS = $(PROBE_LDFLAGS)
tests_integration_plug_toolkit_servicespool_la_SOURCES = tests/integration/plug/services.c
tests_integration_plug_toolkit_servicespool_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DSERVICES_NAME='"toolkit_servicespool"' -DSERVICES_FLAGS=AS_BLOCKING
tests_integration_plug_toolkit_servicespool_la_LDFLAGS = $(PROBE_LDFLAGS)
tests_integration_plug_toolkit_servicesno_la_SOURCES = tests/integration/plug/services.c
tests_integration_plug_toolkit_servicesno_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DSERVICES_NAME='"toolkit_servicesno"' -DSERVICES_FLAGS=AS_PARALLEL \
	-DSERVICES_GRANTS='"kv"'
tests_integration_plug_toolkit_servicesno_la_LDFLAGS = $(PROBE_LDFLAGS)

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
	tests/integration/plug/toolkit_hostileload.la \
	tests/integration/plug/toolkit_hostilenoise.la
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
tests_integration_plug_toolkit_hostilenoise_la_SOURCES = tests/integration/plug/hostile.c
tests_integration_plug_toolkit_hostilenoise_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DHOSTILE_NAME='"toolkit_hostilenoise"' -DHOSTILE_FLAGS=0 -DHOSTILE_NOISE
tests_integration_plug_toolkit_hostilenoise_la_LDFLAGS = $(PROBE_LDFLAGS)

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

check_LTLIBRARIES += tests/integration/plug/toolkit_bad10.la
tests_integration_plug_toolkit_bad10_la_SOURCES = tests/integration/plug/bad.c
tests_integration_plug_toolkit_bad10_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DBAD=10 -DBAD_NAME='"toolkit_bad10"'
tests_integration_plug_toolkit_bad10_la_LDFLAGS = $(PROBE_LDFLAGS)

check_LTLIBRARIES += tests/integration/plug/toolkit_short.la
tests_integration_plug_toolkit_short_la_SOURCES = tests/integration/plug/short.c
tests_integration_plug_toolkit_short_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
tests_integration_plug_toolkit_short_la_LDFLAGS = $(PROBE_LDFLAGS)

# One plugin in versions, for tests that put one in the place of another.
check_LTLIBRARIES += tests/integration/plug/turn1.la
tests_integration_plug_turn1_la_SOURCES = tests/integration/plug/turn.c
tests_integration_plug_turn1_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DTURN_VERSION=1 '-DTURN_FLAGS=AS_PARALLEL'
tests_integration_plug_turn1_la_LDFLAGS = $(PROBE_LDFLAGS)
check_LTLIBRARIES += tests/integration/plug/turn2.la
tests_integration_plug_turn2_la_SOURCES = tests/integration/plug/turn.c
tests_integration_plug_turn2_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DTURN_VERSION=2 '-DTURN_FLAGS=AS_PARALLEL'
tests_integration_plug_turn2_la_LDFLAGS = $(PROBE_LDFLAGS)
check_LTLIBRARIES += tests/integration/plug/turn3.la
tests_integration_plug_turn3_la_SOURCES = tests/integration/plug/turn.c
tests_integration_plug_turn3_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DTURN_VERSION=3 '-DTURN_FLAGS=AS_PARALLEL|AS_UNLOADABLE'
tests_integration_plug_turn3_la_LDFLAGS = $(PROBE_LDFLAGS)
check_LTLIBRARIES += tests/integration/plug/turn4.la
tests_integration_plug_turn4_la_SOURCES = tests/integration/plug/turn.c
tests_integration_plug_turn4_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DTURN_VERSION=4 '-DTURN_FLAGS=0'
tests_integration_plug_turn4_la_LDFLAGS = $(PROBE_LDFLAGS)
check_LTLIBRARIES += tests/integration/plug/turn5.la
tests_integration_plug_turn5_la_SOURCES = tests/integration/plug/turn.c
tests_integration_plug_turn5_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) \
	-DTURN_VERSION=5 '-DTURN_FLAGS=AS_BLOCKING'
tests_integration_plug_turn5_la_LDFLAGS = $(PROBE_LDFLAGS)

check_LTLIBRARIES += tests/libplugenv.la
tests_libplugenv_la_SOURCES = \
	tests/integration/plug_env.c tests/integration/plug_env.h
PLUG_TEST_LIBS = tests/libplugenv.la libplug.la libstore.la libclient.la libloop.la \
	libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/integration/t_plug
tests_integration_t_plug_SOURCES = tests/integration/t_plug.c
tests_integration_t_plug_LDADD = $(PLUG_TEST_LIBS)

check_PROGRAMS += tests/integration/t_plug_call
tests_integration_t_plug_call_SOURCES = tests/integration/t_plug_call.c
tests_integration_t_plug_call_LDADD = $(PLUG_TEST_LIBS)

check_PROGRAMS += tests/integration/t_plug_llm
tests_integration_t_plug_llm_SOURCES = tests/integration/t_plug_llm.c
tests_integration_t_plug_llm_LDADD = $(PLUG_TEST_LIBS)

check_PROGRAMS += tests/integration/t_child
tests_integration_t_child_SOURCES = tests/integration/t_child.c
tests_integration_t_child_LDADD = $(PLUG_TEST_LIBS)

check_LTLIBRARIES += tests/integration/plug/toolkit_offers.la
tests_integration_plug_toolkit_offers_la_SOURCES = \
	tests/integration/plug/offers.c
tests_integration_plug_toolkit_offers_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
tests_integration_plug_toolkit_offers_la_LDFLAGS = $(PROBE_LDFLAGS)

check_PROGRAMS += tests/integration/t_offer
tests_integration_t_offer_SOURCES = tests/integration/t_offer.c
tests_integration_t_offer_LDADD = $(PLUG_TEST_LIBS)

check_PROGRAMS += tests/integration/t_grant
tests_integration_t_grant_SOURCES = tests/integration/t_grant.c
tests_integration_t_grant_LDADD = $(PLUG_TEST_LIBS)

check_PROGRAMS += tests/integration/t_services
tests_integration_t_services_SOURCES = tests/integration/t_services.c \
	tests/integration/tls_peer.c tests/integration/tls_peer.h
tests_integration_t_services_LDADD = tests/libplugenv.la tests/libstoreenv.la \
	libplug.la libstore.la libclient.la libloop.la libbase.la $(TEST_LIBS)

check_PROGRAMS += tests/integration/t_reload
tests_integration_t_reload_SOURCES = tests/integration/t_reload.c
tests_integration_t_reload_LDADD = $(PLUG_TEST_LIBS)
check_PROGRAMS += tests/integration/t_reload_memory
tests_integration_t_reload_memory_SOURCES = tests/integration/t_reload_memory.c
tests_integration_t_reload_memory_LDADD = $(PLUG_TEST_LIBS)

check_PROGRAMS += tests/integration/t_marshal
tests_integration_t_marshal_SOURCES = tests/integration/t_marshal.c
tests_integration_t_marshal_LDADD = $(PLUG_TEST_LIBS)

check_PROGRAMS += tests/unit/t_latency
tests_unit_t_latency_SOURCES = tests/unit/t_latency.c
tests_unit_t_latency_LDADD = $(PLUG_TEST_LIBS)

check_PROGRAMS += tests/unit/t_effect
tests_unit_t_effect_SOURCES = tests/unit/t_effect.c
tests_unit_t_effect_LDADD = $(PLUG_TEST_LIBS)

check_PROGRAMS += tests/unit/t_plug_json
tests_unit_t_plug_json_SOURCES = tests/unit/t_plug_json.c
tests_unit_t_plug_json_LDADD = $(PLUG_TEST_LIBS)

if ENABLE_FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_frame
tests_fuzz_fuzz_frame_SOURCES = tests/fuzz/fuzz_frame.c
tests_fuzz_fuzz_frame_LDADD = libplug.la libstore.la libclient.la libloop.la libbase.la $(DEP_LIBS)
tests_fuzz_fuzz_frame_LDFLAGS = $(FUZZ_LDFLAGS)
endif
EXTRA_DIST += tests/fuzz/corpus/frame tests/fuzz/frame.dict
