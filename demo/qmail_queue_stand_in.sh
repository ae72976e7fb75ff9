#!/bin/sh
# SPDX-License-Identifier: MIT
# Stands in for qmail-queue: puts the message of descriptor 0 and the envelope of
# descriptor 1 into files of the directory that the variable QUEUE names.
cat >"$QUEUE/message" && cat <&1 >"$QUEUE/envelope" || exit 53	# write error
