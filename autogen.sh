#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes configure and the Makefile templates; only for a git checkout.
set -eu
cd "$(dirname "$0")"
exec autoreconf -i
