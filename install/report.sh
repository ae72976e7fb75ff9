# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# Reports what is switched on, and the steps that are left to the administrator.

line() {
	printf '%-11s%s\n' "$1:" "$2"
}

bad() {
	line "$1" "$2"
	trouble=yes
}

# Reports the state; sets trouble if something is not as install.sh left it.
report() {
	trouble=''
	line qmail "$qmail, $flavour"
	if [ -z "$(recorded version)" ]; then
		bad installed "no, there is nothing in $prefix; remedy: ./install.sh"
		return
	elif record_is_whole; then
		line installed "version $(recorded version), in $(recorded release)"
	elif [ -d "$(recorded release)" ]; then
		bad installed "in $(recorded release), but the record $prefix/installed is lost or cut short; remedy: ./install.sh"
		return
	else
		bad installed "no longer: $(recorded release) has gone, so mail is deferred; remedy: ./install.sh"
		return
	fi
	report_python || return 0
	[ -z "$verifying_python" ] || report_launcher
	report_parts
	report_service
}

# Reports the interpreters.  Fails if that of the signer can't be run: it makes the other checks.
report_python() {
	interpreter=$(recorded python)
	if ! as_signer "$interpreter" "$interpreter" -IS -c pass >/dev/null 2>&1; then
		bad python "$interpreter can't be run, so mail is deferred; remedy: ./install.sh"
		return 1
	elif ! can_start "$qmail/queue/lock/tcpto" "$interpreter" "$(recorded release)/qmail_remote_dk.py"; then
		bad python "$(recorded release)/qmail_remote_dk.py can't be read by qmail-remote's user, so mail is deferred; remedy: see who may enter its directories"
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
	replace_queue=$(recorded queue_original)
	for name in $(verifying_users); do
		can_start "$name" "$verifying_python" "$(recorded release)/qmail_qfilter_verify.py" ||
			bad packages "$(recorded release)/qmail_qfilter_verify.py can't be started by $name, so mail is refused for now; remedy: see who may enter its directories, and those of $verifying_python"
	done
}

# Reports which launcher qmail-dk-verify is.
report_launcher() {
	case $(dd if="$prefix/bin/qmail-dk-verify" bs=2 count=1 2>/dev/null) in
	'#!') line launcher "of the verifier in sh, which starts Python for each message to verify" ;;
	*) line launcher "of the verifier in C" ;;
	esac
}

# Reports what the checks of qmail-dk find.
report_parts() {
	"$interpreter" -ISB -X utf8 -X qmail="$qmail" -X original="$(recorded original)" \
		-X release="$(recorded release)" "$checkout/install/status.py" "$prefix" || trouble=yes
}

# Explains the steps that install.sh can't or should not take on its own.
explain_next_steps() {
	explain_restart
	[ -z "$sign" ] || explain_signing
	[ -z "$verify" ] || explain_verifying
}

explain_restart() {
	look_at_running_qmail
	if [ "$(recorded way)" = environment ] && [ -n "${running+is}" ] &&
		[ "$running" != "$remote_launcher" ]; then
		cat <<-END

		Restart qmail to have mail signed by $remote_launcher, as you do it on this host; for instance:
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
