# SPDX-License-Identifier: Apache-2.0
# For those who run it: samples for proxies, and units.  docs/cluster.md.
examplesdir = $(docdir)/examples
dist_examples_DATA = etc/nginx.conf etc/haproxy.cfg
# systemd looks there, whether the prefix is /usr/local or /usr.
unitsdir = $(prefix)/lib/systemd/system
dist_units_DATA = etc/agent-studio.socket
sysusersdir = $(prefix)/lib/sysusers.d
units_DATA = etc/agent-studio@.service etc/agent-studio-worker@.service
EXTRA_DIST += etc/agent-studio@.service.in etc/agent-studio-worker@.service.in
dist_sysusers_DATA = etc/sysusers.d/agent-studio.conf
CLEANFILES += $(units_DATA)

etc/agent-studio@.service: $(srcdir)/etc/agent-studio@.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc && sed 's,[@]bindir@,$(bindir),g' \
	    $(srcdir)/$@.in >$@.tmp && mv $@.tmp $@
etc/agent-studio-worker@.service: $(srcdir)/etc/agent-studio-worker@.service.in \
    Makefile
	$(AM_V_GEN)$(MKDIR_P) etc && sed 's,[@]bindir@,$(bindir),g' \
	    $(srcdir)/$@.in >$@.tmp && mv $@.tmp $@

TESTS += tests/integration/units.sh
EXTRA_DIST += tests/integration/units.sh
