# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# The resident programs: a qmail-rspawn that signs, and a server that verifies.
#
# The first takes the place of bin/qmail-rspawn, and counts when qmail is
# restarted.  The second is a service, started at once: the verifier of each
# message uses it where it is.  One of these supervises it, --service:
#
#   DIR        a directory that svscan (daemontools) or runsvdir (runit) scans
#   systemd
#   none       nobody yet: it lies ready in PREFIX/service

RSPAWN_MARK=qmail_rspawn.py
SERVICE=qmail-dk-verifyd
UNITS=/etc/systemd/system

# Sets resident_signer and resident_server to yes for what is wanted or there already.
decide_resident() {
	resident_signer='' resident_server='' concurrency=''
	case $resident in
	no) resident='' ;;
	'') resident=$(recorded resident) ;;
	esac
	[ -n "$resident" ] || return 0
	resident_signer=$sign
	resident_server=$verify
	[ -z "$resident_signer" ] || check_place qmail-rspawn "$RSPAWN_MARK"
	[ -z "$resident_server" ] || decide_service
}

# Sets concurrency to the byte that qmail's own qmail-rspawn first writes: how
# many deliveries at once it was built for.
learn_concurrency() {
	# shellcheck disable=SC2046		# a word for each byte
	set -- $(as_signer "$interpreter" "$own_rspawn" </dev/null 2>/dev/null | od -An -v -tu1)
	if [ $# != 1 ] || [ "$1" = 0 ]; then
		fail "$own_rspawn does not speak the protocol that the resident signer knows: it began" \
			"with ${*:-nothing}, not with one byte; remedy: install without --resident"
	fi
	concurrency=$1
}

# Sets socket, supervisor, service_user and service_group; resident_server to nothing
# where control/dkserver wants no server.
decide_service() {
	socket=$(head -n 1 "$qmail/control/dkserver" 2>/dev/null || :)
	socket=${socket:-/run/qmail-dk/verify.sock}
	socket_directory=${socket%/*}
	case $socket in
	/*) ;;
	*)
		resident_server=''
		return
		;;
	esac
	supervisor=${service:-$(recorded service)}
	[ -n "$supervisor" ] || find_supervisor
	[ "$(id -u)" = 0 ] || supervisor=none
	service_user=${service_user:-$(recorded service_user)}
	service_user=${service_user:-qmaildk}
	service_group=${service_group:-$(recorded service_group)}
	service_group=${service_group:-$(id -gn qmaild 2>/dev/null || echo nofiles)}
	log_user=qmaill
	id "$log_user" >/dev/null 2>&1 || log_user=$service_user
	check_socket
}

# Who may enter its directory may use the server, so that holds nothing else.
check_socket() {
	case $socket in
	*[!A-Za-z0-9/._@+-]*) refuse_socket "only letters, digits and / . _ @ + - serve" ;;
	*/./* | */../* | */. | */.. | *//* | */) refuse_socket "that is no plain path" ;;
	esac
	if [ "$supervisor" = systemd ]; then
		[ "$socket_directory" = "/run/${socket_directory##*/}" ] ||
			refuse_socket "under systemd its directory must be right in /run"
		return
	fi
	case ${socket#/var} in		# what is right in there is shared, too
	/*/*/*) ;;
	*) refuse_socket "the socket must be in a directory of its own" ;;
	esac
}

refuse_socket() {
	fail "$qmail/control/dkserver: $socket: $*; remedy: remove that file, for" \
		"/run/qmail-dk/verify.sock is the default"
}

# Whoever supervises qmail; else systemd, if that runs.
find_supervisor() {
	supervisor=none
	[ ! -d /run/systemd/system ] || supervisor=systemd
	for scanned in /service /etc/service /var/service; do
		for script in "$scanned"/*/run; do
			if [ -f "$script" ] && starts_qmail "$script"; then
				supervisor=$scanned
			fi
		done
	done
}

make_service_user() {
	id "$service_user" >/dev/null 2>&1 && return
	[ "$(id -u)" = 0 ] || return 0
	planned "Make the user $service_user, who verifies and has no rights" || return 0
	made_user=$service_user
	if command -v useradd >/dev/null; then
		useradd --system --user-group --no-create-home --home-dir /nonexistent \
			--shell /usr/sbin/nologin "$service_user"
	elif command -v pw >/dev/null; then
		pw useradd "$service_user" -d /nonexistent -s /usr/sbin/nologin
	else
		adduser -S -D -H -h /nonexistent -s /sbin/nologin "$service_user"
	fi || fail "the user $service_user can't be made; remedy: make it, or name another by --user"
}

# Writes a file of $checkout/service, filled in, to its place: NAME PLACE MODE
place_service_file() {
	sed -e "s,@LAUNCHER@,$prefix/bin/$SERVICE,g" -e "s,@SOCKET@,$socket,g" \
		-e "s,@DIRECTORY@,$socket_directory,g" \
		-e "s,@RUNTIME@,${socket_directory#/run/},g" -e "s,@USER@,$service_user,g" \
		-e "s,@GROUP@,$service_group,g" -e "s,@LOGUSER@,$log_user,g" \
		"$checkout/service/$1" >"$staging/service-file"
	replace "$staging/service-file" "$2" "$3"
}

# What the service is made of, under the prefix.
prepare_service() {
	last_socket=$(recorded socket)
	made_user=$(recorded made_user)
	make_service_user
	directory=$prefix/service/$SERVICE
	[ -z "$dry_run" ] || return 0
	mkdir -p "$directory/log/main"
	if [ "$(id -u)" = 0 ]; then
		: >"$staging/group"
		chgrp "$service_group" "$staging/group" 2>/dev/null ||
			fail "there is no group $service_group; remedy: name that of qmail-smtpd by --group"
		chown "$log_user" "$directory/log/main"
	fi
	place_service_file $SERVICE/run "$directory/run" 755
	place_service_file $SERVICE/log/run "$directory/log/run" 755
}

switch_on_service() {
	case $supervisor in
	none) ;;
	systemd) switch_on_unit ;;
	*) switch_on_link ;;
	esac
	[ -n "$dry_run" ] || [ "${last_socket:-$socket}" = "$socket" ] || remove_socket "$last_socket"
}

switch_on_unit() {
	[ -n "$dry_run" ] || place_service_file $SERVICE.service "$UNITS/$SERVICE.service" 644
	case $replaced in
	*$SERVICE*) ;;
	*) ! systemctl --quiet is-active $SERVICE || return 0 ;;
	esac
	planned "Start the service $SERVICE under systemd" || return 0
	{ systemctl daemon-reload && systemctl --quiet enable $SERVICE && systemctl restart $SERVICE; } ||
		fail "systemd does not start $SERVICE; remedy: see systemctl status $SERVICE"
}

switch_on_link() {
	link=$supervisor/$SERVICE
	if [ "$(readlink "$link")" = "$directory" ]; then
		case $replaced in
		*$SERVICE*) planned "Restart the service $SERVICE" && control_service term ;;
		esac
		return 0
	fi
	[ -d "$supervisor" ] || fail "there is no directory $supervisor; remedy: --service DIR"
	[ ! -e "$link" ] || fail "$link is there, and not of this program; remedy: move it away"
	planned "Start the service $SERVICE by $link" || return 0
	rm -f "$link"
	ln -s "$directory" "$link"
}

# A command for supervise or runsv: term (it is started again) or exit.
control_service() {
	if command -v svc >/dev/null; then
		case $1 in
		term) svc -t "$directory" ;;
		exit) svc -dx "$directory" "$directory/log" ;;
		esac
	else
		sv "$1" "$directory"
	fi >/dev/null 2>&1 || :
}

remove_service() {
	directory=$prefix/service/$SERVICE
	[ -d "$directory" ] || return 0
	planned "Remove the service $SERVICE" || return 0
	supervisor=$(recorded service)
	case $supervisor in
	systemd)
		systemctl --quiet disable --now $SERVICE || :
		rm -f "$UNITS/$SERVICE.service"
		systemctl daemon-reload || :
		;;
	/*)
		[ "$(readlink "$supervisor/$SERVICE")" != "$directory" ] || rm -f "$supervisor/$SERVICE"
		control_service exit
		;;
	esac
	wait_for_the_end "/lib/qmail_dk_verifyd.py" "the service $SERVICE"
	remove_socket "$(recorded socket)"
	# Its supervisor may still be writing down that it has ended.
	rm -rf "$prefix/service" 2>/dev/null || { sleep 2 && rm -rf "$prefix/service"; }
	[ -z "$(recorded made_user)" ] || remove_service_user "$(recorded made_user)"
}

# Whom make_service_user has made.
remove_service_user() {
	if command -v userdel >/dev/null; then
		userdel "$1"
	elif command -v pw >/dev/null; then
		pw userdel "$1"
	else
		deluser "$1"
	fi >/dev/null 2>&1 || warn "the user $1 can't be removed, and stays"
}

# Under systemd there is none left.
remove_socket() {
	[ ! -S "$1" ] || rm -f "$1"
	rmdir "${1%/*}" 2>/dev/null || :
}

# Says how the resident programs are.
report_resident() {
	[ -n "$(recorded resident)" ] || return 0
	place=$qmail/bin/qmail-rspawn
	if [ -n "$(recorded concurrency)" ]; then
		look_at_running_qmail
		if ! mentions "$place" "$RSPAWN_MARK"; then
			bad resident "OFF when qmail is restarted: $place has been overwritten (qmail installed anew?); remedy: ./install.sh, then restart qmail"
		elif [ -z "$running_release" ]; then
			line resident "off until qmail is restarted: $place is the launcher, $place.orig the original"
		elif [ "$running_release" != "$(recorded release)" ]; then
			line resident "on, but of an older version until qmail is restarted: $running_release"
		else
			line resident "on: qmail-rspawn signs"
		fi
	fi
	supervisor=$(recorded service)
	[ -n "$supervisor" ] || return 0
	if [ "$supervisor" = none ]; then
		line service "nobody starts it: $prefix/service/$SERVICE"
	elif [ -z "$(processes "/lib/qmail_dk_verifyd.py")" ]; then
		bad service "the resident verifier does not run, though $supervisor is to start it, so each message is verified by itself; remedy: see its log"
	else
		line service "on: the resident verifier, under $supervisor"
	fi
}
