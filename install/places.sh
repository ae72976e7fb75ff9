# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# qmail's own files: how one of them is replaced, and put back.
#
#   NAME             one line, "#!/bin/sh NAME.launcher", in the original's place
#   NAME.launcher    the launcher
#   NAME.orig        the original
#
# At every instant there is a whole program in the place.  It takes two files
# for that: the kernel tells sh the name of a script, not the file that it has
# just read "#!" from, and sh opens what has that name a moment later.  If that
# were the original meanwhile, sh would take a program for a script, and the
# message would bounce.  NAME.launcher stays what it is until no delivery needs
# it.  It is not under the prefix, so that mail is deferred if that should go.

# Fails unless a launcher may take the place of $qmail/bin/NAME: NAME MARK
check_place() {
	place=$qmail/bin/$1
	if mentions "$place" "$2"; then
		if [ ! -f "$place.orig" ] || mentions "$place.orig" "$2"; then
			fail "$place is a launcher already, but the original $place.orig is missing;" \
				"remedy: bring it back, from qmail's source (make setup check) or a backup"
		fi
		return
	fi
	[ -f "$place" ] || fail "$place is missing; remedy: install qmail anew"
	if [ "$(head -c 2 "$place" | tr -d '\0')" = '#!' ]; then
		fail "$place is a script of another tool; remedy: put qmail's own program back there" \
			"(mv -f $place.orig $place, where that is the original)"
	fi
	# Linux before 5.1 reads no more of a #! line, and would take part of the name.
	[ ${#place} -lt 107 ] || fail "$place is too long a name for a #! line"
	if [ -e "$place.orig" ] && ! cmp -s "$place" "$place.orig" && ! is_recorded "$place.orig"; then
		fail "$place.orig is there, and not from this program; remedy: see which of the two is" \
			"qmail's own, and move the other away"
	fi
}

is_launcher() {
	mentions "$1" "$REMOTE_MARK" || mentions "$1" "$QUEUE_MARK" || mentions "$1" "$RSPAWN_MARK"
}

is_recorded() {
	[ "$(recorded original)" = "$1" ] || [ "$(recorded queue_original)" = "$1" ] ||
		[ "$(recorded rspawn)" = "${1%.orig}" ]
}

# Puts a launcher in the place of $qmail/bin/NAME: NAME MARK LAUNCHER
take_place() {
	place=$qmail/bin/$1
	if ! mentions "$place" "$2" && ! cmp -s "$place" "$place.orig"; then
		planned "Keep the original $1 as $place.orig" && rename_link "$place" "$place.orig"
	fi
	if [ -n "$dry_run" ]; then
		mentions "$place" "$2" || planned "Put a launcher in its place" || :
		return 0
	fi
	printf '#!/bin/sh %s.launcher\n# It starts %s/%s.\n' "$place" "$release" "$2" \
		>"$staging/place"
	replace "$staging/$3" "$place.launcher" 755 "$place.orig"
	replace "$staging/place" "$place" 755 "$place.orig"
}

# Gives $qmail/bin/NAME back to the original, if a launcher is there: NAME MARK
# What is beside it stays, for deliveries under way: see clear_places.
give_back() {
	place=$qmail/bin/$1
	mentions "$place" "$2" || return 0
	[ -f "$place.orig" ] ||
		fail "$place.orig is missing, so $place can't be put back; nothing was changed." \
			"Remedy: install qmail's own program there, then uninstall again"
	planned "Put the original $1 back in its place" && rename_link "$place.orig" "$place"
	:
}

# Makes TO another name of FROM, in the place of what TO was.
rename_link() {
	rm -f "$2.new"
	ln "$1" "$2.new"
	mv -f "$2.new" "$2"
	rm -f "$2.new"		# still there, if both were one file already
}

# Removes what was beside the places that are the originals' again.
clear_places() {
	for name in original queue_original rspawn; do
		place=$(recorded $name)
		place=${place%.orig}
		case $place in
		"$qmail"/bin/*) is_launcher "$place" || rm -f "$place.orig" "$place.launcher" ;;
		esac
	done
}

# Waits until no process is between a launcher's start and the original's.
wait_for_deliveries() {
	sleep 1		# a launcher that sh reads just now
	wait_for_the_end "" "a program in $prefix"
}

# The commands of those running processes whose program is in a release, PATH: PATH
# shellcheck disable=SC2009		# pgrep is not everywhere
processes() {
	ps -A -o args | grep "[ ]$prefix/release-[^ ]*$1"
}

# Waits until there are no such processes: PATH WHAT
wait_for_the_end() {
	waited=0
	while processes "$1" >/dev/null; do
		[ $waited -lt 60 ] || fail "$2 still runs after a minute; remedy: end it, then uninstall again"
		sleep 1
		waited=$((waited + 1))
	done
}

# QMAILREMOTE, into the script that starts qmail.
edit_start_script() {
	mentions "$start_script" "$assignment" && return
	planned "Set QMAILREMOTE in $start_script" || return 0
	with_assignment "$start_script" >"$staging/start-script"
	replace_keeping_mode "$start_script"
}

restore_start_script() {
	start_script=$(recorded start_script)
	assignment=$(recorded assignment)" "
	[ -n "$start_script" ] && mentions "$start_script" "$assignment" || return 0
	planned "Take QMAILREMOTE out of $start_script" || return 0
	without_assignment <"$start_script" >"$staging/start-script"
	replace_keeping_mode "$start_script"
}

replace_keeping_mode() {
	rm -f "$1.new"
	cp -p "$1" "$1.new"
	cat "$staging/start-script" >"$1.new"
	sync "$1.new"
	mv -f "$1.new" "$1"
}
