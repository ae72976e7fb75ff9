# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# Finds out which qmail this is, and how to make it run another qmail-remote.
#
# qmail-rspawn of notqmail 1.08 and later runs the program that QMAILREMOTE
# names.  This survives an upgrade of qmail, so it is used if qmail is started by
# exactly one script, which can be edited safely.  The variable is set right before
# qmail-start, after any `env -`; it takes effect when qmail is restarted.  It names
# a launcher in qmail's bin: if the prefix is removed, that launcher defers mail,
# whereas without a launcher mail would bounce.
# Otherwise the launcher takes the place of bin/qmail-remote: it takes effect at
# once, and must be repaired after an upgrade of qmail.  A launcher that already has
# this place keeps it, because mail would be unsigned until the restart.

REMOTE_MARK=qmail_remote_dk.py		# identifies our files in qmail's bin
QUEUE_MARK=qmail_qfilter_verify.py
RUN_SCRIPTS='/service/*/run /etc/service/*/run /var/service/*/run /etc/sv/*/run'
RULES='/etc/tcp.smtp* /etc/tcprules.d/* /home/vpopmail/etc/tcp.*'

# Succeeds if a file contains a basic regular expression (busybox finds no fixed string
# after a NUL): FILE EXPRESSION.  Ends the program if the file can't be read.
mentions() {
	[ -f "$1" ] || return 1
	grep_status=0
	LC_ALL=C grep -q "$2" "$1" || grep_status=$?
	[ $grep_status -lt 2 ] || fail "$1 can't be searched for $2; remedy: run this again, as root"
	return $grep_status
}

look_at_qmail() {
	own_rspawn=$qmail/bin/qmail-rspawn
	if mentions "$own_rspawn" "$RSPAWN_MARK" || [ ! -s "$own_rspawn" ]; then
		own_rspawn=$own_rspawn.orig
	fi
	[ -f "$own_rspawn" ] ||
		fail "there is no qmail in $qmail (no bin/qmail-rspawn); remedy: --qmail DIR"
	[ -f "$qmail/queue/lock/tcpto" ] ||
		fail "$qmail has no queue/lock/tcpto, whose owner qmail-remote runs as;" \
			"remedy: finish the installation of qmail (make setup check)"
	knows_remote='' knows_queue=''
	! mentions "$own_rspawn" QMAILREMOTE || knows_remote=yes
	! mentions "$qmail/bin/qmail-smtpd" QMAILQUEUE || knows_queue=yes
	case $knows_remote$knows_queue in
	yesyes) flavour="notqmail 1.08 or later (QMAILREMOTE, QMAILQUEUE)" ;;
	yes) flavour="netqmail, or notqmail before 1.08 (QMAILQUEUE, no QMAILREMOTE)" ;;
	*) flavour="qmail 1.03 (no QMAILQUEUE, no QMAILREMOTE)" ;;
	esac
}

# Sets way to wrap, environment or none (signing is not switched on), and original to the
# path of qmail's own qmail-remote.
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

# Sets start_script to the script that starts this qmail, if there is just one and it can
# be edited, and assignment to the text to insert.
find_start_script() {
	env=$(recorded assignment)
	env=${env%% *}		# with another PATH, command -v may find another
	env=${env:-$(command -v env)}
	assignment="$env QMAILREMOTE=$remote_launcher "
	first_assignment="$env QMAILREMOTE=$prefix/bin/qmail-remote "	# of version 0.1
	start_script=
	while IFS= read -r script; do
		[ -n "$script" ] || continue
		if [ -n "$start_script" ] || ! is_editable "$script"; then
			start_script=
			return
		fi
		start_script=$script
	done <<-END
	$(start_scripts)
	END
}

# Prints the scripts that start this qmail.
start_scripts() {
	# shellcheck disable=SC2086		# a list of patterns
	for script in "$qmail/rc" "$qmail"/supervise/*/run $RUN_SCRIPTS; do
		{ [ -f "$script" ] && [ -r "$script" ]; } || continue
		# A service is often found twice, through a link to its directory.
		script=$(cd -P "${script%/*}" && pwd)/${script##*/}
		case $script in "$qmail"/*) ;; *) mentions "$script" "$qmail/" || continue ;; esac
		! starts_qmail "$script" || printf '%s\n' "$script"
	done | sort -u
}

# Prints the paths that a script sets QMAILREMOTE to, if they are written out in full.
remote_of() {
	awk '!/^[ \t]*#/ && match($0, /QMAILREMOTE=["\047]?\/[A-Za-z0-9\/._@+-]*/) {
		value = substr($0, RSTART, RLENGTH)
		sub(/^QMAILREMOTE=["\047]?/, "", value)
		if (substr($0, RSTART + RLENGTH, 1) !~ /[$`{]/) print value
	}' "$1"
}

# Succeeds if a line of a script that is no comment contains qmail-start.
starts_qmail() {
	awk '!/^[ \t]*#/ && /qmail-start/ { found = 1 } END { exit !found }' "$1"
}

# Succeeds if the assignment is in a script already, or can be inserted safely: an sh
# script, no link, with one command qmail-start and no QMAILREMOTE of its own.
is_editable() {
	if mentions "$1" QMAILREMOTE; then
		mentions "$1" "$assignment" || mentions "$1" "$first_assignment"
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

# Fails if a script starts qmail with one of the launchers, because mail would bounce
# without it.  The script that uninstall edits does not count.
check_start_scripts() {
	while IFS= read -r script; do
		case $script in "" | "$(recorded start_script)") continue ;; esac
		for named in $(remote_of "$script"); do
			case $named in
			"$prefix/bin/qmail-remote" | "$remote_launcher")
				fail "$script sets QMAILREMOTE to $named, and mail would bounce without it;" \
					"remedy: take that out of there, restart qmail, then uninstall again"
				;;
			esac
		done
	done <<-END
	$(start_scripts)
	END
}

# Fails if QMAILQUEUE is found to name the verifier, because qmail-smtpd would reject all
# mail temporarily without it.
check_queue_program() {
	verifier=$prefix/bin/qmail-dk-verify
	[ -f "$verifier" ] && [ -z "$(recorded queue_original)" ] || return 0
	! find_started_with "QMAILQUEUE=$verifier" ||
		fail "process ${process#/proc/} was started with QMAILQUEUE=$verifier, and would refuse" \
			"mail without it; remedy: take that out of its run script, restart it, then" \
			"uninstall again"
	# shellcheck disable=SC2086		# lists of patterns
	for file in "$qmail"/supervise/*/run "$qmail"/control/tcp* $RUN_SCRIPTS $RULES; do
		! LC_ALL=C sed '/^[[:blank:]]*#/d' "$file" 2>/dev/null | LC_ALL=C grep -q -e "$verifier\$" -e "${verifier}[^A-Za-z0-9._+-]" ||
			fail "$file names $verifier, and mail would be refused without it; remedy: take it" \
				"out of there, then uninstall again"
	done
	step "Mail would be refused for now where anything else names $verifier"
}
