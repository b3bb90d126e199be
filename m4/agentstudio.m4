# SPDX-License-Identifier: Apache-2.0
# AGENTSTUDIO_PLUGIN([VERSION])
# For a plugin's configure.ac: finds the SDK (at least VERSION) and sets
#   AGENTSTUDIO_CFLAGS  flags to compile a plugin with
#   AGENTSTUDIO_LDFLAGS flags to link it with (libtool), one exported symbol
#   agentstudio_plugindir  where the host looks for plugins
AC_DEFUN([AGENTSTUDIO_PLUGIN], [
	AC_REQUIRE([PKG_PROG_PKG_CONFIG])
	PKG_CHECK_MODULES([AGENTSTUDIO], [agentstudio m4_ifval([$1], [>= $1])])
	AGENTSTUDIO_CFLAGS="$AGENTSTUDIO_CFLAGS -fvisibility=hidden"
	AGENTSTUDIO_LDFLAGS="-module -avoid-version -shared"
	AGENTSTUDIO_LDFLAGS="$AGENTSTUDIO_LDFLAGS -export-symbols-regex"
	AGENTSTUDIO_LDFLAGS="$AGENTSTUDIO_LDFLAGS ^as_plugin_entry\$\$"
	AC_SUBST([AGENTSTUDIO_LDFLAGS])
	PKG_CHECK_VAR([agentstudio_plugindir], [agentstudio], [plugindir])
])
