# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# The verbs install, status and uninstall, step by step.

verb_install() {
	umask 022
	look_at_qmail
	decide_parts
	choose_way
	[ "$way" != wrap ] || check_place qmail-remote "$REMOTE_MARK"
	[ -z "$replace_queue" ] || check_place qmail-queue "$QUEUE_MARK"
	decide_resident
	check_dkremote
	find_interpreter
	[ -z "$resident_signer" ] || learn_concurrency
	unfinished='' replaced=''
	staging=$prefix/staging.$$
	if [ -z "$dry_run" ]; then
		mkdir -p "$prefix"
		trap remove_unfinished EXIT
		trap 'exit 129' HUP
		trap 'exit 130' INT
		trap 'exit 141' PIPE
		trap 'exit 143' TERM
		mkdir "$staging"
	fi
	[ -z "$verify" ] || prepare_packages
	prepare_release
	try_signers
	prepare_launchers
	unfinished=''		# launchers that deliveries use may name it from here on
	install_programs
	if [ -n "$resident_server" ]; then
		prepare_service
	else
		remove_service		# how, the record says until it is written anew
	fi
	write_record
	switch_on
	[ -z "$dry_run" ] || return 0
	remove_old
	report
	explain_next_steps
}

# shellcheck disable=SC2086		# a list, of names without blanks
remove_unfinished() {
	rm -rf $unfinished "$staging"
}

# Sets sign and verify to yes for what is wanted or there already,
# replace_queue if the verifier takes the place of bin/qmail-queue.
decide_parts() {
	replace_queue=$(recorded queue_original)
	if [ "$verify" = asked ] && [ -z "$knows_queue" ]; then
		replace_queue=yes
	fi
	case $sign$verify in
	'') [ -f "$prefix/installed" ] || sign=yes verify=yes ;;
	esac
	case $(recorded way) in
	wrap | environment) sign=yes ;;
	esac
	verify=${verify:-$(recorded verify)}
	verify=${verify:+yes}
	environment='' verifying_python=''
}

# A DKREMOTE from an older tool must not defer all mail.
check_dkremote() {
	dkremote=$(head -n 1 "$qmail/control/dkremote" 2>/dev/null || :)
	case $dkremote in
	'' | "$original") return ;;
	esac
	if [ ! -x "$dkremote" ] || mentions "$dkremote" "$REMOTE_MARK" ||
		{ [ "$way" = wrap ] && [ "$dkremote" = "$qmail/bin/qmail-remote" ]; }; then
		fail "$qmail/control/dkremote names $dkremote, which is not the original qmail-remote;" \
			"remedy: remove that file, for $original is the default"
	fi
}

prepare_launchers() {
	[ -z "$dry_run" ] || return 0
	rm -rf "$staging/keys" "$staging/trial"
	write_launcher qmail-dk "${verifying_python:-$interpreter}" lib/qmail_dk.py
	[ -n "$verify" ] || return 0
	write_launcher qmail-dk-verify "$verifying_python" qmail_qfilter_verify.py
	write_launcher qmail-dk-verifyd "$verifying_python" lib/qmail_dk_verifyd.py
}

write_record() {
	[ -z "$dry_run" ] || return 0
	last_release=$(recorded last_release) last_environment=$(recorded last_environment)
	[ "$(recorded release)" = "$release" ] || last_release=$(recorded release)
	[ "$(recorded environment)" = "$environment" ] || last_environment=$(recorded environment)
	start_script=${start_script:-}
	case $way in
	wrap) remote=$qmail/bin/qmail-remote ;;
	environment) remote=QMAILREMOTE ;;
	*) remote=$prefix/bin/qmail-remote ;;
	esac
	cat >"$staging/installed" <<-END
	version=$version
	release=$release
	qmail=$qmail
	way=$way
	remote=$remote
	launcher=$prefix/bin/qmail-remote
	original=$original
	start_script=$([ "$way" != environment ] || echo "$start_script")
	assignment=$([ "$way" != environment ] || echo "${assignment% }")
	wrap=$wrap
	python=$interpreter
	system_packages=$system_packages
	environment=$environment
	verify=$verify
	verifying_python=$verifying_python
	queue_original=${replace_queue:+$qmail/bin/qmail-queue.orig}
	resident=$resident
	rspawn=${resident_signer:+$qmail/bin/qmail-rspawn}
	concurrency=$concurrency
	service=${resident_server:+$supervisor}
	socket=${resident_server:+$socket}
	service_user=${resident_server:+$service_user}
	service_group=${resident_server:+$service_group}
	made_user=${resident_server:+$made_user}
	bindir=$bindir
	mandir=$mandir
	last_release=$last_release
	last_environment=$last_environment
	END
	replace "$staging/installed" "$prefix/installed" 644
}

switch_on() {
	case $way in
	wrap) take_place qmail-remote "$REMOTE_MARK" qmail-remote ;;
	environment) edit_start_script ;;
	esac
	[ -z "$replace_queue" ] || take_place qmail-queue "$QUEUE_MARK" qmail-dk-verify
	if [ -n "$resident_signer" ]; then
		take_place qmail-rspawn "$RSPAWN_MARK" qmail-rspawn
	else
		give_back qmail-rspawn "$RSPAWN_MARK"
	fi
	[ -z "$resident_server" ] || switch_on_service
}

verb_status() {
	look_at_qmail
	report
	[ -z "$trouble" ]
}

verb_uninstall() {
	[ -f "$prefix/installed" ] || fail "nothing is installed in $prefix; remedy: --prefix DIR"
	staging=$prefix/staging.$$
	if [ -z "$dry_run" ]; then
		mkdir "$staging"
		trap 'rm -rf "$staging"' EXIT
	fi
	check_queue_program
	give_back qmail-remote "$REMOTE_MARK"
	give_back qmail-queue "$QUEUE_MARK"
	give_back qmail-rspawn "$RSPAWN_MARK"
	remove_service
	restore_start_script
	look_at_running_qmail
	case $running_release in
	"$prefix"/*)
		fail "the qmail that runs now signs by a program in $prefix; remedy: restart qmail," \
			"then uninstall again"
		;;
	esac
	[ "${running:-}" != "$prefix/bin/qmail-remote" ] ||
		fail "the qmail that runs now was started with QMAILREMOTE=$running, and would bounce" \
			"mail without it; remedy: restart qmail, then uninstall again"
	planned "Remove $prefix, the command qmail-dk and its manual" || return 0
	wait_for_deliveries
	clear_places
	[ "$(readlink "$bindir/qmail-dk")" != "$prefix/bin/qmail-dk" ] || rm -f "$bindir/qmail-dk"
	for page in $(manual_pages); do
		rm -f "$mandir/man${page##*.}/$page"
	done
	rm -rf "$prefix"/release-* "$prefix"/python.* "${prefix:?}/bin" "$prefix/installed" \
		"$prefix"/staging.*
	case $mandir in
	"$prefix"/*) rm -rf "${prefix:?}/share" ;;
	esac
	rmdir "$prefix" 2>/dev/null || warn "$prefix is not empty, and stays"
}
