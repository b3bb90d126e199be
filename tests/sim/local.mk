# SPDX-License-Identifier: Apache-2.0
SIM_SOURCES = \
	tests/sim/client.c \
	tests/sim/fault.c \
	tests/sim/link.c \
	tests/sim/model_read.c \
	tests/sim/model_store.c tests/sim/model_store.h \
	tests/sim/model_write.c \
	tests/sim/node.c tests/sim/node.h \
	tests/sim/oracle.c \
	tests/sim/sim.c tests/sim/sim.h \
	tests/sim/world.c

check_PROGRAMS += tests/sim/simulate
tests_sim_simulate_SOURCES = tests/sim/simulate.c $(SIM_SOURCES)
tests_sim_simulate_LDADD = $(CORE_LIBS) $(DEP_LIBS)
