# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# The directory that this program is installed in, and the directories made for it.

PREFIX_LOCK=qmail-dk.lock	# the first file in a prefix

# Prints a directory's path with all links resolved; the directory need not exist yet.
resolved() {
	there=$1
	while [ ! -d "$there/" ]; do
		there=${there%/*}
	done
	beyond=${1#"$there"}
	there=$(CDPATH='' cd -P -- "$there/" && pwd)
	printf '%s\n' "${there%/}$beyond"
}

# Fails if the prefix's bin is qmail's: the launchers there have the names of qmail's
# programs, and would overwrite them.
check_prefix() {
	if [ "$(resolved "$prefix")" = "$(resolved "$qmail")" ] ||
		[ "$(resolved "$prefix/bin")" = "$(resolved "$qmail/bin")" ]; then
		fail "--prefix $prefix: its bin is qmail's own, $qmail/bin; remedy: another --prefix"
	fi
}

# Makes the prefix unless it exists.  Fails if it exists and is not of this program.
claim_prefix() {
	if [ -d "$prefix" ] && ! prefix_is_ours; then
		fail "$prefix exists, is not empty and does not belong to this program; remedy: another --prefix"
	fi
	[ -n "$dry_run" ] || make_directory "$prefix"
}

# Succeeds if the prefix is empty or of this program.  Meanwhile another install.sh may
# make its lock, which is the first file, or remove it, which is the last: so this looks
# for files before it looks for the lock, and once more after that.
prefix_is_ours() {
	prefix_is_empty && return
	if [ -f "$prefix/$PREFIX_LOCK" ] && [ ! -L "$prefix/$PREFIX_LOCK" ]; then
		return 0
	fi
	case $(recorded release) in "$prefix"/release-*) return 0 ;; esac
	prefix_is_empty
}

prefix_is_empty() {
	[ -z "$(find "$prefix/." ! -name . -prune 2>/dev/null)" ]
}

# Makes a directory, with its parents.
make_directory() {
	[ ! -d "$1" ] || return 0
	make_directory "${1%/*}"
	if [ -n "$staging" ]; then
		note directory "$1"
	fi
	if mkdir "$1" 2>/dev/null; then
		directories="$1 $directories"
	elif [ ! -d "$1" ]; then		# else another install.sh has just made it
		[ ! -d "${1%/*}/" ] || fail "$1 can't be made"
		make_directory "$1"		# its parent has been removed meanwhile
	fi
}

# Records for uninstall a path that is about to be made: directory or page, PATH
note() {
	grep -qx "$1 $2" "$prefix/made" 2>/dev/null || printf '%s %s\n' "$1" "$2" >>"$prefix/made"
}

# Prints the paths that were recorded as one of these: directory or page
noted() {
	[ ! -f "$prefix/made" ] || sed -n "s/^$1 //p" "$prefix/made"
}

# shellcheck disable=SC2086		# a list, of names without blanks
# Removes what an installation needs only while it runs, and the prefix if nothing is left.
remove_unfinished() {
	rm -rf $unfinished "$staging"
	rmdir $directories 2>/dev/null || :		# in the prefix
	if [ -z "$(find "$prefix/." ! -name . -prune ! -name "$PREFIX_LOCK" ! -name made 2>/dev/null)" ]; then
		rm -f "$prefix/made" "$prefix/$PREFIX_LOCK"
		rmdir "$prefix" $directories 2>/dev/null || :
	fi
}

# Makes the staging directory.  Others of its kind belong to processes that have died.
make_staging() {
	[ -z "$dry_run" ] || return 0
	staging=$prefix/staging.$$
	trap remove_unfinished EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 141' PIPE
	trap 'exit 143' TERM
	rm -rf "$prefix"/staging.*
	mkdir "$staging"
	for made in $directories; do
		note directory "$made"
	done
}
