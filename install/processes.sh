# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# Looks at the running processes.
#
# Only processes whose real user is root or one of qmail's users count: any user can
# start a process with any name, arguments and environment, and must not be able to
# keep mail from being signed or a program from being removed.

# Sets trusted to the ids of these users.
find_trusted() {
	# shellcheck disable=SC2012		# a number
	trusted=" 0 $(id -u) $(ls -ldn "$qmail/queue/lock/tcpto" 2>/dev/null | awk '{ print $3 }') "
	for name in alias qmaild qmaill qmailp qmailq qmailr qmails vpopmail $(recorded service_user); do
		trusted="$trusted$(id -u "$name" 2>/dev/null) "
	done
}

# Succeeds if a process counts: DIRECTORY, in /proc
is_trusted() {
	[ -n "${trusted:-}" ] || find_trusted
	[ "$trusted" != anybody ] || return 0
	while read -r key real others; do
		[ "$key" != Uid: ] || break
	done 2>/dev/null <"$1/status" || return 1
	case $trusted in *" ${real:-none} "*) ;; *) return 1 ;; esac
}

# Prints the id and the command of each process that counts.  /proc has the whole
# command; ps truncates it at COLUMNS or the terminal's width.
processes() {
	if [ -r /proc/self/cmdline ]; then
		for process in /proc/[0-9]*; do
			! is_trusted "$process" || printf '%s %s\n' "${process#/proc/}" \
				"$(tr '\0\n' '  ' 2>/dev/null <"$process/cmdline")"
		done 2>/dev/null
	else
		[ -n "${trusted:-}" ] || find_trusted
		(unset COLUMNS && ps -A -ww -o ruid= -o pid= -o args=) | while read -r real number command; do
			case $trusted in anybody | *" $real "*) printf '%s %s\n' "$number" "$command" ;; esac
		done
	fi
}

# Prints the processes whose program is in a release, at PATH: PATH
release_processes() {
	processes | LC_ALL=C grep "[ ]$prefix/release-[^ ]*$1"
}

# Prints the processes whose program is in a release, or that will execute one: the verifier's
# launcher in C, which waits for a message, does so by the launcher in sh.
our_processes() {
	processes | LC_ALL=C grep -e "[ ]$prefix/release-" -e "[ ]$prefix/bin/$NATIVE "
}

# Waits until a function prints no process; fails after a minute: DESCRIPTION FUNCTION [PATH]
wait_for_the_end() {
	waited=0
	while "$2" "${3:-}" >/dev/null; do
		[ $waited -lt 60 ] || fail "$1 still runs after a minute; remedy: end it, then uninstall again"
		sleep 1
		waited=$((waited + 1))
	done
}

# Succeeds if a process runs a program, or one under a directory: PATH
is_in_use() {
	processes | LC_ALL=C grep -q -e "[ ]${1}[/ ]"
}

# Waits until no delivery is between the start of a launcher and that of the original.
wait_for_deliveries() {
	sleep 1		# for a launcher that sh is just reading
	wait_for_the_end "a program in $prefix" our_processes
	# Local users may be injecting mail with our qmail-queue, but must not delay us for long.
	trusted=anybody
	while [ $waited -lt 10 ] && our_processes >/dev/null; do
		sleep 1
		waited=$((waited + 1))
	done
	trusted=''
}

# Sets running to the QMAILREMOTE of the running qmail-rspawn and, if it is the resident
# signer, running_release to its release.  running is unset if none runs, or none is
# visible.
look_at_running_qmail() {
	unset running
	running_release=
	program=$(resolved "$qmail/bin")/qmail-rspawn
	for process in /proc/[0-9]*; do
		case $(readlink "$process/exe" 2>/dev/null) in
		"$program" | "$program.orig" | "$program (deleted)" | "$program.orig (deleted)")
			is_trusted "$process" || continue
			;;
		*python*)
			is_trusted "$process" || continue
			running_release=$(tr '\0' ' ' 2>/dev/null <"$process/cmdline" |
				sed -n "s,^.* qmail=$qmail .* \([^ ]*\)/lib/$RSPAWN_MARK [0-9]* *$,\1,p")
			[ -n "$running_release" ] || continue
			;;
		*) continue ;;
		esac
		running=$(tr '\0' '\n' 2>/dev/null <"$process/environ" | sed -n 's/^QMAILREMOTE=//p')
		return
	done
}

# Finds a process that was started with a variable, and sets process to it: NAME=VALUE
find_started_with() {
	for process in /proc/[0-9]*; do
		! is_trusted "$process" ||
			! tr '\0' '\n' 2>/dev/null <"$process/environ" | LC_ALL=C grep -qxF -e "$1" || return 0
	done
	return 1
}
