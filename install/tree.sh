# shellcheck shell=sh disable=SC2030,SC2031,SC2034,SC2154
# SPDX-License-Identifier: MIT
# Installs the files under the prefix:
#
#   release-VERSION-build.N
#                       the programs, never changed once a launcher names them
#   python.N            the private environment
#   bin                 the launchers; the names that an administrator uses
#   service             the service directory of the resident verifier
#   installed           the record of the installation, as lines NAME=VALUE
#   made                the directories and manual pages that it has made
#   qmail-dk.lock       see lock.sh
#
# A delivery that starts during an upgrade uses one release and one environment,
# because a launcher contains the numbered name of each.  They stay until the
# next upgrade but one.

REPORTS=/var/lib/qmail-dk	# as in lib/admin/report_verbs.py

# Succeeds if the record has its last line: a full disk, or half a backup, cuts files short.
record_is_whole() {
	grep -q '^last_environment=' "$prefix/installed" 2>/dev/null
}

# Prints the value recorded under a name: NAME.  If the record is gone, or not whole, a
# launcher has it.
recorded() {
	if record_is_whole || { [ -f "$prefix/installed" ] && [ -z "$(told '')" ]; }; then
		sed -n "s/^$1=//p" "$prefix/installed"
	else
		told "$1"
	fi
}

# Prints the value that a launcher in qmail's bin has recorded under a name, or with an
# empty name the whole record: NAME
told() {
	for launcher in qmail-remote.launcher qmail-remote-dk qmail-queue.launcher qmail-rspawn.launcher; do
		launcher=${qmail:-/var/qmail}/bin/$launcher
		if grep -qx "#: qmail=${qmail:-/var/qmail}" "$launcher" 2>/dev/null; then
			sed -n "s/^#: ${1:+$1=}//p" "$launcher"
			return
		fi
	done
}

# Writes $staging/beside, a launcher for qmail's bin with the record appended as comments:
# NAME
add_record() {
	cp "$staging/$1" "$staging/beside"
	sed 's/^/#: /' "$staging/installed" >>"$staging/beside"
}

# Restores the record if only launchers have it, since they are removed before everything
# else is.
keep_record() {
	record_is_whole || [ -z "$(told '')" ] || told '' >"$prefix/installed"
}

without_record() {
	sed '/^#: /d' "$1"
}

# Prints the first of NAME.1, NAME.2, ... that is not taken: NAME
unused() {
	number=1
	while [ -e "$1.$number" ]; do
		number=$((number + 1))
	done
	printf '%s.%s\n' "$1" "$number"
}

# Succeeds if two directories have the same programs: DIRECTORY DIRECTORY
have_same_programs() {
	"$interpreter" -ISB "$checkout/install/same_programs.py" "$@"
}

# Sets release to a directory with the programs of this checkout.
prepare_release() {
	version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$checkout/lib/__init__.py")
	release=$(recorded release)
	if [ -z "$release" ] || ! have_same_programs "$release" "$checkout"; then
		release=$(unused "$prefix/release-$version-build")
		planned "Copy the programs to $release" || return 0
		mkdir "$release"
		unfinished="$unfinished $release"
		ln -s ../installed "$release/installed"		# first, as it marks the directory as ours
		cp "$checkout/qmail_remote_dk.py" "$checkout/qmail_qfilter_verify.py" "$release"
		cp -R "$checkout/lib" "$checkout/man" "$release"
		find "$release" -name '*.pyc' -exec rm -f {} +
	fi
	[ -n "$dry_run" ] || compile
}

# Compiles the programs now, since only root can write the compiled files, and qmail's users
# need them at each start.
compile() {
	for by in "$interpreter" ${verify:+"$verifying_python"}; do
		said=$("$by" -ISB "$checkout/install/compile.py" "$release" 2>&1) ||
			fail "the programs in $release can't be compiled by $by: $said"
	done
	chmod -R u+rwX,go+rX,go-w "$release"
}

# Writes a launcher to $staging: NAME INTERPRETER PROGRAM [FILE]
write_launcher() {
	sed -e "s,@PYTHON@,$2,g" -e "s,@PROGRAM@,$release/$3,g" -e "s,@PREFIX@,$release,g" \
		-e "s,@QMAIL@,$qmail,g" -e "s,@ORIGINAL@,$original,g" -e "s,@CONCURRENCY@,$concurrency,g" \
		"$checkout/launcher/$1" >"$staging/${4:-$1}"
	chmod 755 "$staging/${4:-$1}"
}

# Writes the launchers of the signers, with the interpreter that passes a trial.
try_signers() {
	planned "Try them: a message is signed, and not sent" || return 0
	write_signers "$interpreter"
	try_with=${verify:+$verifying_python}
	said=$(trial "${try_with:-$interpreter}" 2>&1) && return
	[ -n "$verify" ] || fail "${said#install.sh: }"
	# This interpreter's OpenSSL may be out of reach; the private environment has its own.
	write_signers "$verifying_python"
	trial "$verifying_python" >/dev/null 2>&1 || fail "${said#install.sh: }"
}

write_signers() {
	write_launcher qmail-remote "$1" qmail_remote_dk.py
	[ -z "$verify" ] ||
		write_launcher qmail-dk-verify "$verifying_python" qmail_qfilter_verify.py qmail-dk-verify.sh
	[ -n "$resident_signer" ] || return 0
	write_launcher qmail-rspawn "$1" lib/qmail_rspawn.py
	rm -rf "$staging/trial"
	mkdir -p "$staging/trial/bin"
	(	# the trial has a qmail directory of its own
		qmail=$staging/trial staging=$staging/trial/bin
		write_launcher qmail-rspawn "$1" lib/qmail_rspawn.py
	)
}

trial() {
	rm -rf "$staging/keys"
	# shellcheck disable=SC2046		# a word for each user
	"$1" -IS -X "qmail=$qmail" "$checkout/install/trial.py" "$release" "$staging" "$qmail" \
		"$staging/qmail-remote" ${verify:+--verify} ${resident_signer:+--resident} \
		$([ -z "$verify" ] || verifying_users)
}

# Puts a file in the place of another, which is whole at every instant; GROUP_OF: a file
# whose group it gets: FILE TARGET MODE [GROUP_OF]
replace() {
	if [ -f "$2" ] && [ ! -L "$2" ] && cmp -s "$1" "$2" &&
		[ -n "$(find "$2" -prune -perm "$3")" ]; then
		return
	fi
	planned "Write $2" || return 0
	rm -f "$2.$NEW"
	cp "$1" "$2.$NEW"
	# shellcheck disable=SC2012		# a number
	[ -z "${4:-}" ] || chgrp "$(ls -dn "$4" | awk '{ print $4 }')" "$2.$NEW"
	chmod "$3" "$2.$NEW"
	sync "$2.$NEW"
	mv -f "$2.$NEW" "$2"
	replaced="$replaced $2"
}

# Installs the launchers under the prefix, then the files in directories that installations
# share.
install_programs() {
	if [ -z "$dry_run" ]; then
		make_directory "$prefix/bin"
		for launcher in "$staging/$NATIVE.sh" "$staging"/qmail-*; do	# the one in C needs it
			[ ! -f "$launcher" ] || replace "$launcher" "$prefix/bin/${launcher##*/}" 755
		done
		make_directory "$mandir"
	fi
	alone_in "$mandir" install_shared
	make_reports_directory
}

# Makes the directory in which qmail-dk reports keeps its database, for the user alias: his
# .qmail files get the reports.  One that is there may be another user's by now.
make_reports_directory() {
	[ "$qmail" = /var/qmail ] && [ "$(id -u)" = 0 ] && id alias >/dev/null 2>&1 &&
		[ ! -e "$REPORTS" ] || return 0
	planned "Make $REPORTS, for the reports that the user alias gets" || return 0
	make_directory "${REPORTS%/*}"
	note directory "$REPORTS"
	mkdir "$REPORTS"		# not by make_directory: it stays, though it is empty
	chmod 700 "$REPORTS"
	chown "alias:$(id -gn alias)" "$REPORTS"
}

# Installs the command in PATH and the manual pages.
install_shared() {
	if [ "$bindir" != "$prefix/bin" ] && ! is_our_command "$bindir/qmail-dk"; then
		if [ -e "$bindir/qmail-dk" ] || [ -L "$bindir/qmail-dk" ]; then
			warn "$bindir/qmail-dk exists and does not belong to this installation: left as it is;" \
				"the command for $qmail is $prefix/bin/qmail-dk"
		elif planned "Link $bindir/qmail-dk to $prefix/bin/qmail-dk"; then
			make_directory "$bindir"
			ln -s "$prefix/bin/qmail-dk" "$bindir/qmail-dk"
		fi
	fi
	install_manual
}

is_our_command() {
	[ "$(readlink "$1")" = "$prefix/bin/qmail-dk" ]
}

install_manual() {
	ours=$(our_pages)		# before any is noted
	for name in $(manual_pages); do
		page=$mandir/man${name##*.}/$name
		if { [ -e "$page" ] || [ -L "$page" ]; } && ! is_our_page "$page"; then
			cmp -s "$page" "$checkout/man/$name" ||
				warn "$page exists and does not belong to this installation: left as it is"
			continue
		fi
		if [ -z "$dry_run" ]; then
			make_directory "${page%/*}"
			note page "$page"
		fi
		replace "$checkout/man/$name" "$page" 644
	done
}

# Succeeds if a manual page is ours, and unchanged since it was installed: PATH
is_our_page() {
	case " $ours " in
	*" $1 "*) ;;
	*) return 1 ;;
	esac
	installed_page=$(recorded release)/man/${1##*/}
	if [ -f "$installed_page" ]; then
		[ ! -L "$1" ] && cmp -s "$1" "$installed_page"
	else
		[ "$verb" = install ] || cmp -s "$1" "$checkout/man/${1##*/}"
	fi
}

# Prints the paths of our manual pages.  Without a list of them (version 0.1, or a lost
# prefix) these are all pages in the recorded directory.
our_pages() {
	if [ -n "$(noted page)" ]; then
		noted page | tr '\n' ' '
	elif [ -n "$(recorded mandir)" ]; then
		for name in $(manual_pages); do
			printf '%s ' "$(recorded mandir)/man${name##*.}/$name"
		done
	fi
}

manual_pages() {
	for page in "$checkout"/man/*.[1-8]; do
		[ ! -f "$page" ] || printf '%s\n' "${page##*/}"
	done
}

# Removes releases and environments that no delivery can need: all but those of this and the
# last installation, those that a program runs from, and those that we have not made.
remove_old() {
	for old in "$prefix"/release-* "$prefix"/python.*; do
		case $old in
		"$release" | "$environment" | "$last_release" | "$last_environment") ;;
		*) ! is_ours "$old" || is_in_use "$old" || rm -rf "$old" ;;
		esac
	done
}

# Succeeds if prepare_release or make_private_environment made a directory: DIRECTORY
is_ours() {
	[ "$(readlink "$1/installed")" = ../installed ] || [ -f "$1/made-from" ]
}

# Removes the files in the record and those known to be ours, and the directories that are
# empty then.
remove_tree() {
	alone_in "$mandir" remove_shared
	for old in "$prefix"/release-* "$prefix"/python.*; do
		if is_ours "$old"; then rm -rf "$old"; else rmdir "$old" 2>/dev/null || :; fi
	done
	for name in "$checkout"/launcher/* "$NATIVE.sh"; do
		rm -f "$prefix/bin/${name##*/}" "$prefix/bin/${name##*/}.$NEW"
	done
	rmdir "$prefix/bin" 2>/dev/null || :
	rm -f "$prefix/installed" "$prefix/installed.$NEW" "$prefix/made"
}

# Removes what install_shared has made.  Sets directories to those above the prefix.
remove_shared() {
	! is_our_command "$bindir/qmail-dk" || rm -f "$bindir/qmail-dk"
	ours=$(our_pages)
	for page in $ours; do
		rm -f "$page.$NEW"
		! is_our_page "$page" || rm -f "$page"
	done
	directories=
	for made in $(noted directory | sort -r); do		# subdirectories first
		case $prefix/ in
		"$made"/*) directories="$directories $made" ;;
		*) rmdir "$made" 2>/dev/null || : ;;
		esac
	done
}
