# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# The verbs install, status and uninstall, step by step.

verb_install() {
	umask 022
	settle_places
	alone install_alone
}

install_alone() {
	make_staging
	complete_options
	look_at_qmail
	decide_parts
	choose_way
	[ "$way" != wrap ] || check_place qmail-remote "$REMOTE_MARK"
	[ "$way" != environment ] || check_remote_launcher
	[ -z "$replace_queue" ] || check_place qmail-queue "$QUEUE_MARK"
	decide_resident
	check_dkremote
	find_interpreter
	[ -z "$resident_signer" ] || learn_concurrency
	[ -z "$verify" ] || prepare_packages
	prepare_release
	try_signers
	prepare_launchers
	unfinished=''		# from here on, launchers that deliveries use may name them
	install_programs
	if [ -n "$resident_server" ]; then
		prepare_service
	else
		remove_service		# before write_record, since it reads the old record
	fi
	write_record
	switch_on
	[ -z "$dry_run" ] || return 0
	remove_old
	wait_for_service
	report
	explain_next_steps
}

# Sets sign and verify to yes if they are wanted or already installed, and replace_queue if
# the verifier takes the place of bin/qmail-queue.
decide_parts() {
	replace_queue=$(recorded queue_original)
	if [ "$verify" = asked ] && [ -z "$knows_queue" ]; then
		replace_queue=yes
	fi
	case $sign$verify in
	'') [ -n "$(recorded version)" ] || sign=yes verify=yes ;;
	esac
	case $(recorded way) in
	wrap | environment) sign=yes ;;
	esac
	verify=${verify:-$(recorded verify)}
	verify=${verify:+yes}
	environment='' verifying_python=''
}

# Fails if control/dkremote, perhaps left by an older tool, would defer all mail.
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
	write_launcher qmail-dk-verifyd "$verifying_python" lib/qmail_dk_verifyd.py
	prepare_native
}

write_record() {
	[ -z "$dry_run" ] || return 0
	last_release=$(recorded last_release) last_environment=$(recorded last_environment)
	[ "$(recorded release)" = "$release" ] || last_release=$(recorded release)
	[ "$(recorded environment)" = "$environment" ] || last_environment=$(recorded environment)
	start_script=${start_script:-}
	launcher=$prefix/bin/qmail-remote
	case $way in
	wrap) remote=$qmail/bin/qmail-remote ;;
	environment) remote=QMAILREMOTE launcher=$remote_launcher ;;
	*) remote=$launcher ;;
	esac
	if [ "$way" != environment ]; then	# restore_start_script and later runs need these
		start_script=$(recorded start_script) assignment=$(recorded assignment)
	fi
	cat >"$staging/installed" <<-END
	version=$version
	prefix=$prefix
	release=$release
	qmail=$qmail
	way=$way
	remote=$remote
	launcher=$launcher
	original=$original
	start_script=$start_script
	assignment=${assignment% }
	wrap=$wrap
	python=$interpreter
	system_packages=$system_packages
	environment=$environment
	verify=$verify
	verifying_python=$verifying_python
	native=$native
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
	put_remote_launcher
	case $way in
	wrap)
		take_place qmail-remote "$REMOTE_MARK" qmail-remote
		restore_start_script
		;;
	environment) edit_start_script ;;
	esac
	[ -z "$replace_queue" ] || take_place qmail-queue "$QUEUE_MARK" qmail-dk-verify.sh
	if [ -n "$resident_signer" ]; then
		take_place qmail-rspawn "$RSPAWN_MARK" qmail-rspawn
	else
		leave_rspawn
	fi
	[ -z "$resident_server" ] || switch_on_service
}

verb_status() {
	complete_options
	look_at_qmail
	report
	[ -z "$trouble" ]
}

verb_uninstall() {
	umask 022
	settle_places
	check_installed
	alone uninstall_alone
}

# Fails if the running qmail needs a program that is to be removed.
check_running_qmail() {
	look_at_running_qmail
	case $running_release in
	"$prefix"/*)
		fail "the qmail that runs now signs by a program in $prefix; remedy: restart qmail," \
			"then uninstall again"
		;;
	esac
	case ${running:-} in
	"$prefix/bin/qmail-remote" | "$remote_launcher")
		fail "the qmail that runs now was started with QMAILREMOTE=$running, and would bounce" \
			"mail without it; remedy: restart qmail, then uninstall again"
		;;
	esac
}

check_installed() {
	[ -n "$(recorded version)" ] || fail "nothing is installed in $prefix; remedy: --prefix DIR"
}

uninstall_alone() {
	make_staging
	check_installed
	complete_options
	[ -n "$dry_run" ] || keep_record
	check_queue_program
	check_start_scripts
	check_original qmail-remote "$REMOTE_MARK"
	check_original qmail-queue "$QUEUE_MARK"
	check_original qmail-rspawn "$RSPAWN_MARK"
	# First what qmail starts with, so that a restarted qmail no longer uses our programs.
	restore_start_script
	give_back qmail-rspawn "$RSPAWN_MARK"
	check_running_qmail
	remove_service
	give_back qmail-remote "$REMOTE_MARK"
	give_back qmail-queue "$QUEUE_MARK"
	planned "Remove $prefix, the command qmail-dk and its manual" || return 0
	wait_for_deliveries
	clear_places
	remove_tree
	remove_unfinished
	[ ! -d "$prefix" ] || warn "$prefix is not empty, and stays"
}
