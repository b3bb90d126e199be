# SPDX-License-Identifier: Apache-2.0
# CC_FLAGS(VARIABLE, FLAGS...)
# Append those of the flags that the C compiler takes without a warning.
AC_DEFUN([CC_FLAGS], [
	for flag in m4_normalize([$2]); do
		save_CFLAGS=$CFLAGS
		CFLAGS="$CFLAGS -Werror $flag"
		AC_MSG_CHECKING([whether $CC takes $flag])
		AC_COMPILE_IFELSE([AC_LANG_PROGRAM],
		    [AC_MSG_RESULT([yes]); $1="$$1 $flag"],
		    [AC_MSG_RESULT([no])])
		CFLAGS=$save_CFLAGS
	done
])
