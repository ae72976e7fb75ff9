# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# Which qmail this is, and how it can be told to run another qmail-remote.
#
# qmail-rspawn of notqmail 1.08 and later runs the program that QMAILREMOTE
# names.  That survives an upgrade of qmail, so it is used where the one script
# that starts qmail can be edited beyond doubt.  The variable goes right before
# qmail-start, behind any `env -`; it takes a restart of qmail to count.
# Everywhere else the launcher takes the place of bin/qmail-remote: it counts
# at once, and has to be repaired after an upgrade of qmail.  Where it has that
# place already it keeps it, for mail would be unsigned until the restart.

REMOTE_MARK=qmail_remote_dk.py		# what our files in qmail's bin are known by
QUEUE_MARK=qmail_qfilter_verify.py
RUN_SCRIPTS='/service/*/run /etc/service/*/run /var/service/*/run /etc/sv/*/run'
RULES='/etc/tcp.smtp* /etc/tcprules.d/* /home/vpopmail/etc/tcp.*'

mentions() {
	[ -f "$1" ] && LC_ALL=C grep -q "$2" "$1"
}

look_at_qmail() {
	[ -f "$qmail/bin/qmail-rspawn" ] ||
		fail "there is no qmail in $qmail (no bin/qmail-rspawn); remedy: --qmail DIR"
	[ -f "$qmail/queue/lock/tcpto" ] ||
		fail "$qmail has no queue/lock/tcpto, which tells who qmail-remote runs as;" \
			"remedy: finish the installation of qmail (make setup check)"
	own_rspawn=$qmail/bin/qmail-rspawn
	! mentions "$own_rspawn" "$RSPAWN_MARK" || own_rspawn=$own_rspawn.orig
	knows_remote='' knows_queue=''
	! mentions "$own_rspawn" QMAILREMOTE || knows_remote=yes
	! mentions "$qmail/bin/qmail-smtpd" QMAILQUEUE || knows_queue=yes
	case $knows_remote$knows_queue in
	yesyes) flavour="notqmail 1.08 or later (QMAILREMOTE, QMAILQUEUE)" ;;
	yes) flavour="netqmail, or notqmail before 1.08 (QMAILQUEUE, no QMAILREMOTE)" ;;
	*) flavour="qmail 1.03 (no QMAILQUEUE, no QMAILREMOTE)" ;;
	esac
}

# Sets way to wrap, environment or (signing is not switched on) none, and original to qmail's own qmail-remote.
choose_way() {
	way=wrap
	if [ -z "$sign" ]; then
		way=none
	elif [ -n "$knows_remote" ] && [ -z "$wrap" ] &&
		! mentions "$qmail/bin/qmail-remote" "$REMOTE_MARK"; then
		find_start_script
		[ -z "$start_script" ] || way=environment
	fi
	case $way in
	wrap) original=$qmail/bin/qmail-remote.orig ;;
	*) original=$qmail/bin/qmail-remote ;;
	esac
}

# Sets start_script to the one script that starts this qmail, if it is one that
# can be edited, and assignment to what is inserted there.
find_start_script() {
	assignment="$(command -v env) QMAILREMOTE=$prefix/bin/qmail-remote "
	start_script='' seen=''
	# shellcheck disable=SC2086		# a list of patterns
	for script in "$qmail/rc" "$qmail"/supervise/*/run $RUN_SCRIPTS; do
		[ -f "$script" ] || continue
		# A service is often there twice, by a link to its directory.
		script=$(cd -P "${script%/*}" && pwd)/${script##*/}
		case "$seen " in *" $script "*) continue ;; esac
		seen="$seen $script"
		case $script in "$qmail"/*) ;; *) mentions "$script" "$qmail/" || continue ;; esac
		starts_qmail "$script" || continue
		if [ -n "$start_script" ] || ! is_editable "$script"; then
			start_script=
			return
		fi
		start_script=$script
	done
}

# Whether a line of a script, not a comment, has the word qmail-start.
starts_qmail() {
	awk '!/^[ \t]*#/ && /qmail-start/ { found = 1 } END { exit !found }' "$1"
}

# Whether inserting the assignment gives a script that is sure to be right:
# one command qmail-start, in an sh script that has no QMAILREMOTE of its own.
is_editable() {
	if mentions "$1" QMAILREMOTE; then
		mentions "$1" "$assignment"
		return
	fi
	[ ! -L "$1" ] && head -n 1 "$1" | grep -q '^#!.*sh' || return 1
	[ "$(awk '!/^[ \t]*#/ { n += gsub(/qmail-start/, "") } END { print n }' "$1")" = 1 ] &&
		[ "$(with_assignment "$1" | grep -c "$assignment")" = 1 ] &&
		with_assignment "$1" | sh -n 2>/dev/null &&
		with_assignment "$1" | without_assignment | cmp -s - "$1"
}

with_assignment() {
	awk -v assignment="$assignment" '
		!/^[ \t]*#/ && match($0, /(^|[ \t])[^ \t"]*qmail-start([ \t]|$)/) {
			start = RSTART + (substr($0, RSTART, 1) ~ /[ \t]/)
			$0 = substr($0, 1, start - 1) assignment substr($0, start)
		}
		{ print }' "$1"
}

without_assignment() {
	sed "s,$assignment,,"
}

# Of the qmail-rspawn that runs now: sets running to its QMAILREMOTE, and
# running_release, if it is ours, to where its program is; running is unset where
# there is none, or none to be seen.
look_at_running_qmail() {
	unset running
	running_release=
	program=$(cd -P "$qmail/bin" && pwd)/qmail-rspawn
	for process in /proc/[0-9]*; do
		case $(readlink "$process/exe" 2>/dev/null) in
		"$program" | "$program.orig" | "$program (deleted)" | "$program.orig (deleted)") ;;
		*python*)
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

# Fails where QMAILQUEUE is known to name the verifier: without it, qmail-smtpd
# would refuse all mail for now.
check_queue_program() {
	verifier=$prefix/bin/qmail-dk-verify
	[ -f "$verifier" ] && [ -z "$(recorded queue_original)" ] || return 0
	for process in /proc/[0-9]*; do
		! tr '\0' '\n' 2>/dev/null <"$process/environ" | grep -q "^QMAILQUEUE=$verifier\$" ||
			fail "process ${process#/proc/} was started with QMAILQUEUE=$verifier, and would refuse" \
				"mail without it; remedy: take that out of its run script, restart it, then" \
				"uninstall again"
	done
	# shellcheck disable=SC2086		# lists of patterns
	for file in "$qmail"/supervise/*/run "$qmail"/control/tcp* $RUN_SCRIPTS $RULES; do
		! LC_ALL=C sed '/^[[:blank:]]*#/d' "$file" 2>/dev/null | LC_ALL=C grep -q "$verifier" ||
			fail "$file names $verifier, and mail would be refused without it; remedy: take it" \
				"out of there, then uninstall again"
	done
	step "Mail would be refused for now where anything else names $verifier"
}
