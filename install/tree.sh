# shellcheck shell=sh disable=SC2030,SC2031,SC2034,SC2154
# SPDX-License-Identifier: MIT
# What lies under the prefix:
#
#   release-VERSION.N   the programs, never changed once a launcher names them
#   python.N            the private environment
#   bin                 the launchers; the names that an administrator uses
#   service             what supervises the resident verifier
#   installed           what was done, as lines NAME=VALUE
#
# A delivery that starts during an upgrade has one release and one environment,
# for a launcher names both by their own names.  They stay until the next
# upgrade but one.

recorded() {
	[ ! -f "$prefix/installed" ] || sed -n "s/^$1=//p" "$prefix/installed"
}

# The first name that is not taken: NAME.1, NAME.2, ...
unused() {
	number=1
	while [ -e "$1.$number" ]; do
		number=$((number + 1))
	done
	printf '%s.%s\n' "$1" "$number"
}

# What tells whether two directories hold the same programs.
contents() {
	(cd "$1" 2>/dev/null && find qmail_remote_dk.py qmail_qfilter_verify.py lib -type f \
		! -name '*.pyc' -exec cksum {} + | sort -k 3)
}

# Sets release to a directory with the programs of this checkout.
prepare_release() {
	version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$checkout/lib/__init__.py")
	release=$(recorded release)
	if [ -z "$release" ] || [ "$(contents "$release")" != "$(contents "$checkout")" ]; then
		release=$(unused "$prefix/release-$version")
		planned "Copy the programs to $release" || return 0
		unfinished="$unfinished $release"
		mkdir "$release"
		cp "$checkout/qmail_remote_dk.py" "$checkout/qmail_qfilter_verify.py" "$release"
		cp -R "$checkout/lib" "$release"
		find "$release" -name '*.pyc' -exec rm -f {} +
		ln -s ../installed "$release/installed"
	fi
	[ -n "$dry_run" ] || compile
}

# Only root can write the compiled files, and qmail's users need them at each start.
compile() {
	for by in "$interpreter" ${verify:+"$verifying_python"}; do
		"$by" -IS -m compileall -q "$release/lib" >/dev/null ||
			fail "the programs in $release can't be compiled by $by"
	done
	chmod -R u+rwX,go+rX,go-w "$release"
}

# Writes a launcher to $staging: NAME INTERPRETER PROGRAM
write_launcher() {
	sed -e "s,@PYTHON@,$2,g" -e "s,@PROGRAM@,$release/$3,g" -e "s,@PREFIX@,$release,g" \
		-e "s,@QMAIL@,$qmail,g" -e "s,@ORIGINAL@,$original,g" -e "s,@CONCURRENCY@,$concurrency,g" \
		"$checkout/launcher/$1" >"$staging/$1"
	chmod 755 "$staging/$1"
}

# The signers' launchers get the interpreter that comes out of their trial.
try_signers() {
	planned "Try them: a message is signed, and not sent" || return 0
	write_signers "$interpreter"
	try_with=${verify:+$verifying_python}
	said=$(trial "${try_with:-$interpreter}" 2>&1) && return
	[ -n "$verify" ] || fail "${said#install.sh: }"
	# Its own OpenSSL may not be within reach; a package brings one.
	write_signers "$verifying_python"
	trial "$verifying_python" >/dev/null 2>&1 || fail "${said#install.sh: }"
}

write_signers() {
	write_launcher qmail-remote "$1" qmail_remote_dk.py
	[ -n "$resident_signer" ] || return 0
	write_launcher qmail-rspawn "$1" lib/qmail_rspawn.py
	rm -rf "$staging/trial"
	mkdir -p "$staging/trial/bin"
	(	# the trial's qmail is one of its own
		qmail=$staging/trial staging=$staging/trial/bin
		write_launcher qmail-rspawn "$1" lib/qmail_rspawn.py
	)
}

trial() {
	rm -rf "$staging/keys"
	"$1" -IS -X "qmail=$qmail" "$checkout/install/trial.py" "$release" "$staging" "$qmail" \
		"$staging/qmail-remote" ${verify:+--verify} ${resident_signer:+--resident}
}

# Puts the text of NEW at TARGET, with MODE, so that TARGET is whole at every instant.
replace() {
	if [ -f "$2" ] && [ ! -L "$2" ] && cmp -s "$1" "$2" &&
		[ -n "$(find "$2" -prune -perm "$3")" ]; then
		return
	fi
	planned "Write $2" || return 0
	rm -f "$2.new"
	cp "$1" "$2.new"
	# shellcheck disable=SC2012		# a number
	[ -z "${4:-}" ] || chgrp "$(ls -dn "$4" | awk '{ print $4 }')" "$2.new"
	chmod "$3" "$2.new"
	sync "$2.new"
	mv -f "$2.new" "$2"
	replaced="$replaced $2"
}

# The launchers under the prefix, the command in PATH, the manual pages.
install_programs() {
	if [ -z "$dry_run" ]; then
		mkdir -p "$prefix/bin"
		for launcher in "$staging"/qmail-*; do
			replace "$launcher" "$prefix/bin/${launcher##*/}" 755
		done
	fi
	if [ "$bindir" != "$prefix/bin" ] && [ "$(readlink "$bindir/qmail-dk")" != "$prefix/bin/qmail-dk" ]
	then
		if [ -e "$bindir/qmail-dk" ]; then
			warn "$bindir/qmail-dk is there and not of this installation: left as it is;" \
				"the command for $qmail is $prefix/bin/qmail-dk"
		elif planned "Link $bindir/qmail-dk to $prefix/bin/qmail-dk"; then
			mkdir -p "$bindir"
			ln -sf "$prefix/bin/qmail-dk" "$bindir/qmail-dk"
		fi
	fi
	for page in $(manual_pages); do
		[ -n "$dry_run" ] || mkdir -p "$mandir/man${page##*.}"
		replace "$checkout/man/$page" "$mandir/man${page##*.}/$page" 644
	done
}

manual_pages() {
	for page in "$checkout"/man/*.[1-8]; do
		[ ! -f "$page" ] || printf '%s\n' "${page##*/}"
	done
}

# Removes what no delivery can need any more: all but this installation, the last, and
# what a resident program still runs from.
remove_old() {
	for old in "$prefix"/release-* "$prefix"/python.*; do
		case $old in
		"$release" | "$environment" | "$last_release" | "$last_environment") ;;
		*) processes "" | grep -q "[ ]$old/\|^$old/" || rm -rf "$old" ;;
		esac
	done
}
