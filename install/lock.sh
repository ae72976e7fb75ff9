# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# Allows one install.sh at a time for a prefix and for a qmail.
#
# The locks are flock(2) locks on descriptors that this shell and its children have
# open.  A lock file with a process id would have to be taken over from dead
# processes, and would not cover the commands that outlive a shell killed by KILL:
# these hold the kernel's lock until the last one has ended.
#
# 7 and 9 are PREFIX/qmail-dk.lock, 6 and 8 qmail's bin, 5 the manual's directory.
# Descriptors opened by exec (8 and 9) stay open until the shell has run its EXIT
# trap, but ksh closes them in the commands that it starts.  It does not close those
# opened for a group of commands (5 to 7).

LOCK='import fcntl, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
descriptor, of = int(sys.argv[1]), sys.argv[2]
try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print(f"==> Wait for another install.sh, which works on {of}", flush=True)
    fcntl.flock(descriptor, fcntl.LOCK_EX)'

# Runs a command while no other install.sh works under the prefix or on the qmail.  It runs
# in this shell, which exits if it fails.
alone() {
	find_locking_python		# before anything is made
	claim_prefix
	if [ -n "$dry_run" ]; then
		"$@"
		return
	fi
	of_qmail=$qmail/bin
	[ -d "$of_qmail" ] || of_qmail=$prefix
	# command, because a shell exits if a redirection of a plain exec fails.
	until { command exec 9>>"$prefix/$PREFIX_LOCK" 8<"$of_qmail"; } 2>/dev/null; do
		[ ! -d "$prefix" ] || fail "$prefix/$PREFIX_LOCK or $of_qmail can't be opened"
		claim_prefix		# another install.sh has removed it
	done
	{
		lock 7 "$prefix"
		lock 6 "$of_qmail"
		prefix_is_the_locked_one
		"$@"
	} 7>&9 6<&8
}

# Runs a command while no other install.sh, even for another prefix and qmail, works on a
# directory that all of them share: DIRECTORY COMMAND
alone_in() {
	if [ -n "$dry_run" ] || [ ! -d "$1" ]; then
		"$2"
		return
	fi
	# shellcheck disable=SC2094	# the lock asks only for the directory's name
	{
		lock 5 "$1"
		"$2"
	} 5<"$1"
}

# Sets locking_python to an interpreter that can lock; uninstall goes on without one.
find_locking_python() {
	for locking_python in "$asked_python" "$(recorded python)" python3 /usr/bin/python3 $PYTHONS; do
		command -v "${locking_python:-none}" >/dev/null || continue
		! "$locking_python" -IS -c 'import fcntl' >/dev/null 2>&1 || return 0
	done
	locking_python=
	[ "$verb" = uninstall ] ||
		fail "no Python that works was found; remedy: install one that all users can run" \
			"(Debian and Ubuntu: apt-get install python3-venv), or name it with --python"
}

# Waits for the lock on a descriptor: DESCRIPTOR PLACE
lock() {
	[ -z "$locking_python" ] || ! "$locking_python" -IS -c "$LOCK" "$@" || return 0
	[ "$verb" = uninstall ] || fail "$2 can't be locked against another install.sh by $locking_python"
	# uninstall must work even if Python is what is broken.
	warn "no Python locks $2: make sure that no other install.sh runs meanwhile"
}

# Fails if the lock's file was removed while we waited: text written to the descriptor
# then does not appear under its name.
prefix_is_the_locked_one() {
	token="$$ $(date)"
	printf '%s\n' "$token" >&7
	[ "$(tail -n 1 "$prefix/$PREFIX_LOCK" 2>/dev/null)" = "$token" ] ||
		fail "another install.sh has removed $prefix meanwhile; run this again if that is still wanted"
	: >"$prefix/$PREFIX_LOCK"
}
