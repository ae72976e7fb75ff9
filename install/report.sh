# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# What is on, and what is left to the administrator.

line() {
	printf '%-11s%s\n' "$1:" "$2"
}

bad() {
	line "$1" "$2"
	trouble=yes
}

# Says how things are; sets trouble if something is not as install.sh left it.
report() {
	trouble=''
	line qmail "$qmail, $flavour"
	if [ ! -f "$prefix/installed" ]; then
		bad installed "no, there is nothing in $prefix; remedy: ./install.sh"
		return
	fi
	line installed "version $(recorded version), in $(recorded release)"
	report_python
	report_signing
	report_verifying
	report_resident
}

report_python() {
	interpreter=$(recorded python)
	if ! as_signer "$interpreter" "$interpreter" -IS -c pass >/dev/null 2>&1; then
		bad python "$interpreter can't be run, so mail is deferred; remedy: ./install.sh"
	else
		line python "$interpreter, $("$interpreter" --version)"
	fi
	verifying_python=$(recorded verifying_python)
	[ -n "$verifying_python" ] || return 0
	if has_packages_to_verify "$verifying_python"; then
		line packages "of $verifying_python"
	else
		bad packages "$verifying_python has no longer what verifying needs; remedy: ./install.sh"
	fi
}

report_signing() {
	place=$qmail/bin/qmail-remote
	start_script=$(recorded start_script)
	case $(recorded way) in
	wrap)
		if ! mentions "$place" "$REMOTE_MARK"; then
			bad signing "OFF: $place has been overwritten (qmail installed anew?), so mail goes out unsigned; remedy: ./install.sh"
		elif ! cmp -s "$place.launcher" "$prefix/bin/qmail-remote"; then
			bad signing "$place.launcher is gone, or the launcher of another installation; remedy: ./install.sh"
		elif [ ! -f "$place.orig" ]; then
			bad signing "$place.orig is missing, so mail is deferred; remedy: bring it back from qmail's source or a backup"
		else
			line signing "on: $place is the launcher, $place.orig the original"
		fi
		;;
	environment)
		look_at_running_qmail
		if ! mentions "$start_script" "$(recorded assignment) "; then
			bad signing "OFF: $start_script does not set QMAILREMOTE any more; remedy: ./install.sh, then restart qmail"
		elif [ -z "${running+is}" ]; then
			line signing "on when qmail starts: $start_script sets QMAILREMOTE"
		elif [ "$running" = "$prefix/bin/qmail-remote" ]; then
			line signing "on: QMAILREMOTE is set by $start_script"
		else
			line signing "off until qmail is restarted: QMAILREMOTE is set by $start_script"
		fi
		;;
	*) line signing "prepared, not switched on; to do so: ./install.sh --sign" ;;
	esac
}

report_verifying() {
	place=$qmail/bin/qmail-queue
	if [ -n "$(recorded queue_original)" ]; then
		if mentions "$place" "$QUEUE_MARK"; then
			line verifying "on for mail with DKVERIFY: $place is the launcher, $place.orig the original"
		else
			bad verifying "OFF: $place has been overwritten (qmail installed anew?); remedy: ./install.sh"
		fi
	elif [ -n "$(recorded verify)" ]; then
		line verifying "prepared: $prefix/bin/qmail-dk-verify"
	else
		line verifying "not prepared; to do so: ./install.sh --verify"
	fi
}

# What install.sh can't or should not do by itself.
explain_next_steps() {
	explain_restart
	[ -z "$sign" ] || explain_signing
	[ -z "$verify" ] || explain_verifying
}

explain_restart() {
	if [ "$(recorded way)" = environment ] && [ -n "${running+is}" ] &&
		[ "$running" != "$prefix/bin/qmail-remote" ]; then
		cat <<-END

		Restart qmail to switch signing on, as you do it on this host; for instance:
		  svc -t /service/qmail-send    sv term qmail-send    systemctl restart qmail
		END
	fi
	if [ -n "$resident_signer" ] && [ -n "${running+is}" ] && [ "$running_release" != "$release" ]; then
		cat <<-END

		Restart qmail to switch the resident signer on.
		END
	fi
}

explain_signing() {
	command=$bindir/qmail-dk
	[ "$(readlink "$command")" = "$prefix/bin/qmail-dk" ] || command=$prefix/bin/qmail-dk
	cat <<-END

	Mail of domains that have a key is signed.  To make one, and to see that all is well:
	  $command keygen DOMAIN
	  $command check
	END
}

explain_verifying() {
	if [ -n "$knows_queue" ]; then
		cat <<-END

		To verify, let the run script of qmail-smtpd export
		  QMAILQUEUE=$prefix/bin/qmail-dk-verify
		  DKVERIFY=-
		or set both in tcprules:
		  :allow,QMAILQUEUE="$prefix/bin/qmail-dk-verify",DKVERIFY="-"
		END
		explain_letters
	elif [ -n "$(recorded queue_original)" ]; then
		cat <<-END

		To verify, let the run script of qmail-smtpd export
		  DKVERIFY=-
		END
		explain_letters
	else
		cat <<-END

		To verify: this qmail knows no QMAILQUEUE, so bin/qmail-queue has to be replaced:
		  ./install.sh --verify
		END
	fi
}

explain_letters() {
	cat <<-END
	"-" refuses nothing and marks all mail; DEGIJKfh is strict (doc/verifying).
	It needs memory: softlimit -m 100000000
	END
}
