# SPDX-License-Identifier: Apache-2.0
# Samples for those who run it: proxies, units.  docs/cluster.md.
examplesdir = $(docdir)/examples
dist_examples_DATA = etc/nginx.conf etc/haproxy.cfg etc/agent-studio.socket
examples_DATA = etc/agent-studio@.service etc/agent-studio-worker@.service
EXTRA_DIST += etc/agent-studio@.service.in etc/agent-studio-worker@.service.in
CLEANFILES += $(examples_DATA)

etc/agent-studio@.service: $(srcdir)/etc/agent-studio@.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc && sed 's,[@]bindir@,$(bindir),g' \
	    $(srcdir)/$@.in >$@.tmp && mv $@.tmp $@
etc/agent-studio-worker@.service: $(srcdir)/etc/agent-studio-worker@.service.in \
    Makefile
	$(AM_V_GEN)$(MKDIR_P) etc && sed 's,[@]bindir@,$(bindir),g' \
	    $(srcdir)/$@.in >$@.tmp && mv $@.tmp $@

TESTS += tests/integration/units.sh
EXTRA_DIST += tests/integration/units.sh
