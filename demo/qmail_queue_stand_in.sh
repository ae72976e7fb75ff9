#!/bin/sh
# SPDX-License-Identifier: MIT
# Stands in for qmail-queue: writes the message from descriptor 0 and the envelope from
# descriptor 1 to files in the directory that the variable QUEUE names.
cat >"$QUEUE/message" && cat <&1 >"$QUEUE/envelope" || exit 53	# write error (qmail-queue(8))
