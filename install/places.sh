# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# Replaces qmail's own programs by launchers, and puts them back.
#
#   NAME             one line, "#!/bin/sh NAME.launcher", in the original's place
#   NAME.launcher    the launcher
#   NAME.orig        the original
#
# There is a whole program in the place at every instant.  This takes two files:
# the kernel reads "#!" from a file but passes sh only its name, which sh opens a
# moment later.  If the name belonged to the original by then, sh would read a
# binary as a script, and the message would bounce.  NAME.launcher does not change
# until no delivery needs it.  It is not under the prefix, so that mail is deferred
# if the prefix is removed.

NEW=qmail-dk-new		# suffix of a new file until it is renamed

# Fails unless a launcher can take the place of $qmail/bin/NAME: NAME MARK
check_place() {
	place=$qmail/bin/$1
	if is_taken "$2"; then
		if ! has_original "$2"; then
			fail "$place is a launcher already, but the original $place.orig is missing or damaged;" \
				"remedy: bring it back, from qmail's source (make setup check) or a backup"
		fi
		return
	fi
	[ -s "$place" ] || fail "$place is missing; remedy: install qmail anew"
	if [ "$(head -c 2 "$place" | tr -d '\0')" = '#!' ]; then
		fail "$place is a script of another tool; remedy: put qmail's own program back there" \
			"(mv -f $place.orig $place, where that is the original)"
	fi
	# Linux before 5.1 reads 127 bytes of a #! line, and would cut the name.
	[ ${#place} -lt 107 ] || fail "$place is too long a name for a #! line"
	if [ -e "$place.orig" ] && ! cmp -s "$place" "$place.orig" && ! is_kept_by_us; then
		fail "$place.orig exists and does not belong to this program; remedy: see which of the two is" \
			"qmail's own, and move the other away"
	fi
}

is_launcher() {
	mentions "$1" "$REMOTE_MARK" || mentions "$1" "$QUEUE_MARK" || mentions "$1" "$RSPAWN_MARK"
}

# Succeeds if we made $place.orig, as the record or the launcher beside it shows.
is_kept_by_us() {
	case $place.orig in
	"$(recorded original)" | "$(recorded queue_original)") return 0 ;;
	esac
	is_launcher "$place.launcher"
}

# Puts a launcher in the place of $qmail/bin/NAME: NAME MARK LAUNCHER
take_place() {
	place=$qmail/bin/$1
	if [ -n "$dry_run" ]; then
		is_taken "$2" || cmp -s "$place" "$place.orig" || step "Keep the original $1 as $place.orig"
		mentions "$place" "$2" || step "Put a launcher in its place"
		return
	fi
	keep_original "$2"
	printf '#!/bin/sh %s.launcher\n# It starts %s/%s.\n' "$place" "$release" "$2" \
		>"$staging/place"
	add_record "$3"
	replace "$staging/beside" "$place.launcher" 755 "$place.orig"
	replace "$staging/place" "$place" 755 "$place.orig"
}

# Fails if the launcher that QMAILREMOTE names exists and is not ours.
check_remote_launcher() {
	[ ! -s "$remote_launcher" ] || mentions "$remote_launcher" "$REMOTE_MARK" ||
		mentions "$remote_launcher" '^# qmail-remote: starts the signer' ||	# ours, cut short
		fail "$remote_launcher exists and does not belong to this program; remedy: move it away"
}

# Puts the launcher that QMAILREMOTE names beside qmail's programs.  One that exists is
# upgraded even if no script names it now: the running qmail may have been started with it.
put_remote_launcher() {
	[ "$way" = environment ] || mentions "$remote_launcher" "$REMOTE_MARK" || return 0
	if [ -n "$dry_run" ]; then
		[ -e "$remote_launcher" ] || planned "Write $remote_launcher" || :
		return 0
	fi
	add_record qmail-remote
	replace "$staging/beside" "$remote_launcher" 755 "$qmail/bin/qmail-remote"
}

# Keeps the program in $place as $place.orig, unless it is a launcher: MARK
#
# The name may pass to another file at any time (qmail is installed anew), so this makes
# a link of its own first, examines the file through it, and then keeps that link.
keep_original() {
	[ -s "$place" ] || return 0		# only the original is left
	seen=$place.orig.$NEW
	rm -f "$seen"
	ln "$place" "$seen"
	if mentions "$seen" "$1" || [ "$(inode "$seen")" = "$(inode "$place.orig")" ]; then
		rm -f "$seen"
	else
		step "Keep the original ${place##*/} as $place.orig"
		mv -f "$seen" "$place.orig"
	fi
}

inode() {
	# shellcheck disable=SC2012		# a number
	ls -di "$1" 2>/dev/null | awk '{ print $1 }'
}

# Succeeds if $place holds a launcher, or nothing while we keep the original: MARK
is_taken() {
	mentions "$place" "$1" || { [ ! -s "$place" ] && [ -f "$place.orig" ] && is_kept_by_us; }
}

# Succeeds if $place.orig is a program that can run, and no launcher: MARK
has_original() {
	[ -s "$place.orig" ] && [ -x "$place.orig" ] && ! mentions "$place.orig" "$1"
}

# Fails if $qmail/bin/NAME is to be given back but its original is missing: NAME MARK
check_original() {
	place=$qmail/bin/$1
	! is_taken "$2" || has_original "$2" ||
		fail "$place.orig is missing or damaged, so $place can't be put back; nothing was changed." \
			"Remedy: install qmail's own program there, then uninstall again"
}

# Puts the original back as $qmail/bin/NAME, if a launcher or nothing is there: NAME MARK
# The files beside it stay for deliveries in progress; see clear_places.
give_back() {
	place=$qmail/bin/$1
	is_taken "$2" || return 0
	planned "Put the original $1 back in its place" && rename_link "$place.orig" "$place"
	:
}

# Makes TO another name of the file FROM, and replaces TO: FROM TO
rename_link() {
	rm -f "$2.$NEW"
	ln "$1" "$2.$NEW"
	mv -f "$2.$NEW" "$2"
	rm -f "$2.$NEW"		# mv leaves it if both were the same file already
}

# Removes our files beside the programs that are the originals again.
clear_places() {
	for name in qmail-remote qmail-queue qmail-rspawn; do
		place=$qmail/bin/$name
		! is_kept_by_us || clear_place
	done
	! mentions "$remote_launcher" "$REMOTE_MARK" || rm -f "$remote_launcher"
	rm -f "$remote_launcher.$NEW"
}

# Removes our files beside $place, unless $place.orig is the only copy of the program.
clear_place() {
	rm -f "$place.$NEW" "$place.orig.$NEW" "$place.launcher.$NEW"
	[ -e "$place" ] || [ -e "$place.orig" ] || return 0
	if [ ! -s "$place" ] || is_launcher "$place"; then
		warn "$place is not qmail's own program, so $place.orig and $place.launcher stay"
		return
	fi
	rm -f "$place.orig" "$place.launcher"
}

# Sets QMAILREMOTE in the script that starts qmail.
edit_start_script() {
	mentions "$start_script" "$assignment" && return
	planned "Set QMAILREMOTE in $start_script" || return 0
	if mentions "$start_script" "$first_assignment"; then
		sed "s,$first_assignment,$assignment," "$start_script" >"$staging/start-script"
	else
		with_assignment "$start_script" >"$staging/start-script"
	fi
	replace_keeping_mode "$start_script"
}

restore_start_script() {
	start_script=$(recorded start_script)
	assignment=$(recorded assignment)" "
	[ -n "$start_script" ] || return 0
	first_assignment="${assignment%% *} QMAILREMOTE=$prefix/bin/qmail-remote "
	mentions "$start_script" "$assignment" || assignment=$first_assignment
	mentions "$start_script" "$assignment" || return 0
	planned "Take QMAILREMOTE out of $start_script" || return 0
	without_assignment <"$start_script" >"$staging/start-script"
	replace_keeping_mode "$start_script"
}

replace_keeping_mode() {
	rm -f "$1.$NEW"
	cp -p "$1" "$1.$NEW"
	cat "$staging/start-script" >"$1.$NEW"
	sync "$1.$NEW"
	mv -f "$1.$NEW" "$1"
}
