# SPDX-License-Identifier: Apache-2.0
SIM_SOURCES = \
	tests/sim/client.c \
	tests/sim/copy.c tests/sim/copy.h \
	tests/sim/fault.c \
	tests/sim/letter.c tests/sim/letter.h \
	tests/sim/link.c \
	tests/sim/model_block.c tests/sim/model_branch.c \
	tests/sim/model_child.c \
	tests/sim/model_inbox.c \
	tests/sim/model_read.c \
	tests/sim/model_claim.c \
	tests/sim/model_store.c tests/sim/model_store.h \
	tests/sim/model_write.c \
	tests/sim/node.c tests/sim/node.h \
	tests/sim/oracle.c \
	tests/sim/people.c \
	tests/sim/sim.c tests/sim/sim.h \
	tests/sim/world.c

check_PROGRAMS += tests/sim/simulate
tests_sim_simulate_SOURCES = tests/sim/simulate.c $(SIM_SOURCES)
tests_sim_simulate_LDADD = $(CORE_LIBS) $(DEP_LIBS)

# The same with an engine that can be made to fail.
check_PROGRAMS += tests/sim/mutants
tests_sim_mutants_SOURCES = tests/sim/mutants.c $(SIM_SOURCES) \
	core/run/answer.c core/run/answer_commit.c core/run/answer_stream.c \
	core/run/ask.c core/run/blocked.c core/run/call.c \
	core/run/engine.c core/run/expire.c core/run/finish.c \
	core/run/park.c core/run/respond.c core/run/settle.c \
	core/run/tools.c core/run/tools_result.c core/run/work.c \
	core/run/work_commit.c
tests_sim_mutants_CPPFLAGS = $(AM_CPPFLAGS) -DSIM_MUTANTS
tests_sim_mutants_LDADD = $(CORE_LIBS) $(DEP_LIBS)

# The store of the simulation against the real ones.
check_PROGRAMS += tests/integration/t_run_store_model
tests_integration_t_run_store_model_SOURCES = \
	tests/integration/t_run_store_model.c \
	tests/integration/run_dump.c tests/integration/run_dump.h \
	tests/integration/twin.c tests/integration/twin.h \
	tests/integration/twin_commit.c tests/integration/twin_node.c \
	tests/integration/twin_reads.c tests/integration/twin_run.c \
	tests/sim/model_block.c tests/sim/model_branch.c \
	tests/sim/model_child.c tests/sim/model_claim.c \
	tests/sim/model_inbox.c \
	tests/sim/model_read.c tests/sim/model_store.c \
	tests/sim/model_store.h tests/sim/model_write.c
tests_integration_t_run_store_model_LDADD = tests/libstoreenv.la $(CORE_LIBS) \
	$(TEST_LIBS)
