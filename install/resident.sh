# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# Installs the resident programs: a qmail-rspawn that signs, and a server that verifies.
#
# The first takes the place of bin/qmail-rspawn, and takes effect when qmail is
# restarted.  The second is a service, started at once; the program that verifies a
# message uses it while it runs.  --service says who supervises it:
#
#   DIR        a directory that svscan (daemontools) or runsvdir (runit) scans
#   systemd
#   none       nobody yet: its directory is ready in PREFIX/service

RSPAWN_MARK=qmail_rspawn.py
SERVICE=qmail-dk-verifyd
UNITS=/etc/systemd/system

# Sets resident_signer and resident_server to yes if they are wanted or already installed.
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

# Sets concurrency to the first byte that qmail's own qmail-rspawn writes: the number of
# simultaneous deliveries that it was built for.
learn_concurrency() {
	# shellcheck disable=SC2046		# a word for each byte
	set -- $(as_signer "$interpreter" "$own_rspawn" </dev/null 2>/dev/null | od -An -v -tu1)
	if [ $# != 1 ] || [ "$1" = 0 ]; then
		fail "$own_rspawn does not speak the protocol that the resident signer knows: it began" \
			"with ${*:-nothing}, not with one byte; remedy: install without --resident"
	fi
	concurrency=$1
}

# Sets socket, supervisor, service_user, service_group and log_user.  Clears resident_server
# if control/dkserver wants no server.
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
	# Version 0.1, whose record has no prefix, recorded none if qmail is started by rc.
	if [ "$supervisor$service$(recorded prefix)" = none ] &&
		[ -z "$(release_processes "/lib/qmail_dk_verifyd.py")" ]; then
		supervisor=''
	fi
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

# Fails if the socket's path is not acceptable.  Whoever may enter its directory may use the
# server, so the directory must hold nothing else.
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
	case ${socket#/var} in		# directories right in /var are shared, too
	/*/*/*) ;;
	*) refuse_socket "the socket must be in a directory of its own" ;;
	esac
	check_above_socket
}

# Fails if another user may write to a directory above the socket, and so put another server
# in its place.  A sticky directory such as /tmp protects only an entry that exists, until
# the host is restarted.
check_above_socket() {
	above=$socket_directory nearest=yes
	while [ -n "$above" ]; do
		# shellcheck disable=SC2046,SC2012		# a word for each column; they are numbers
		set -- $(ls -ldnL "$above" 2>/dev/null)
		case ${3:-0} in
		0 | "$(id -u)") ;;
		*) refuse_socket "user number $3 can put another server there, for $above is his" ;;
		esac
		case ${nearest:+new}${1:-} in
		d????????[tT]*) ;;
		*d????w*) [ "$4" = 0 ] || refuse_socket "group number $4 can put another server there, by $above" ;;
		esac
		case ${nearest:+new}${1:-} in
		d????????[tT]*) ;;
		*d???????w*) refuse_socket "anybody can put another server there, by $above" ;;
		esac
		[ $# = 0 ] || nearest=''
		above=${above%/*}
	done
}

refuse_socket() {
	fail "$qmail/control/dkserver: $socket: $*; remedy: remove that file, for" \
		"/run/qmail-dk/verify.sock is the default"
}

# Sets supervisor to the one that supervises qmail, else to systemd if it runs, else to none.
find_supervisor() {
	supervisor=none
	[ ! -d /run/systemd/system ] || supervisor=systemd
	for scanned in /service /etc/service /var/service; do
		for script in "$scanned"/*/run; do
			if [ -f "$script" ] && { starts_qmail "$script" || runs_rc "$script"; }; then
				supervisor=$scanned
			fi
		done
	done
}

# Puts the original qmail-rspawn back, and removes our files beside it.
leave_rspawn() {
	give_back qmail-rspawn "$RSPAWN_MARK"
	[ -z "$dry_run" ] && is_kept_by_us || return 0
	sleep 1		# qmail may be just starting through the launcher
	! processes | LC_ALL=C grep -q -e "[ ]${place}[.]launcher" || return 0	# left to the next run
	clear_place
}

# Succeeds if a script starts qmail through qmail's rc, as in Life with qmail.
runs_rc() {
	[ -f "$qmail/rc" ] && starts_qmail "$qmail/rc" &&
		sed '/^[[:blank:]]*#/d' "$1" | LC_ALL=C grep -q -e "$qmail/rc\$" -e "$qmail/rc[^A-Za-z0-9._+/-]"
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

# Fills in a file of $checkout/service and installs it: NAME PLACE MODE
place_service_file() {
	sed -e "s,@LAUNCHER@,$prefix/bin/$SERVICE,g" -e "s,@SOCKET@,$socket,g" \
		-e "s,@DIRECTORY@,$socket_directory,g" \
		-e "s,@RUNTIME@,${socket_directory#/run/},g" -e "s,@USER@,$service_user,g" \
		-e "s,@GROUP@,$service_group,g" -e "s,@LOGUSER@,$log_user,g" \
		"$checkout/service/$1" >"$staging/service-file"
	replace "$staging/service-file" "$2" "$3"
}

# Makes the user and, under the prefix, the directory of the service.
prepare_service() {
	last_socket=$(recorded socket)
	made_user=$(recorded made_user)
	make_service_user
	directory=$prefix/service/$SERVICE
	[ -z "$dry_run" ] || return 0
	end_orphans
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
	service_starts=yes
	{ systemctl daemon-reload && systemctl --quiet enable $SERVICE && systemctl restart $SERVICE; } ||
		fail "systemd does not start $SERVICE; remedy: see systemctl status $SERVICE"
}

switch_on_link() {
	link=$supervisor/$SERVICE
	if [ "$(readlink "$link")" = "$directory" ]; then
		case $replaced in
		*$SERVICE*)
			planned "Restart the service $SERVICE" || return 0
			service_starts=yes
			control_service term
			;;
		esac
		return 0
	fi
	[ -d "$supervisor" ] || fail "there is no directory $supervisor; remedy: --service DIR"
	[ ! -e "$link" ] || fail "$link exists and does not belong to this program; remedy: move it away"
	planned "Start the service $SERVICE by $link" || return 0
	service_starts=yes
	rm -f "$link"
	ln -s "$directory" "$link"
}

# Waits until the service runs, if it was started or restarted: svscan and runsvdir scan
# every five seconds.
wait_for_service() {
	waited=0
	while [ -n "$service_starts" ] && [ $waited -lt 20 ] && ! is_in_use "$release/lib/qmail_dk_verifyd.py"
	do
		sleep 1
		waited=$((waited + 1))
	done
}

# Sends supervise or runsv a command: term, after which the service is started again, or exit.
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

# Ends the processes that still run in the service's directory after that was removed, since
# supervisors take their commands from there.
end_orphans() {
	[ ! -d "$directory" ] || return 0
	for process in /proc/[0-9]*; do
		case $(readlink "$process/cwd" 2>/dev/null) in
		"$directory"*) ! is_trusted "$process" || kill "${process#/proc/}" 2>/dev/null || : ;;
		esac
	done
}

remove_service() {
	directory=$prefix/service/$SERVICE
	[ -d "$directory" ] || [ -n "$(recorded service)" ] || return 0
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
	end_orphans
	wait_for_the_end "the service $SERVICE" release_processes "/lib/qmail_dk_verifyd.py"
	remove_socket "$(recorded socket)"
	# The supervisor may still be recording that the service has ended.
	rm -rf "$directory" 2>/dev/null || { sleep 2 && rm -rf "$directory"; }
	rmdir "$prefix/service" 2>/dev/null || :
	[ -z "$(recorded made_user)" ] || remove_service_user "$(recorded made_user)"
}

# Removes the user that make_service_user made: USER
remove_service_user() {
	if command -v userdel >/dev/null; then
		userdel "$1"
	elif command -v pw >/dev/null; then
		pw userdel "$1"
	else
		deluser "$1"
	fi >/dev/null 2>&1 || warn "the user $1 can't be removed, and stays"
}

# Removes a socket and its directory, which systemd has already removed: SOCKET
remove_socket() {
	[ ! -S "$1" ] || rm -f "$1"
	rmdir "${1%/*}" 2>/dev/null || :
}

# Reports whether the resident verifier runs.
report_service() {
	supervisor=$(recorded service)
	[ -n "$supervisor" ] || return 0
	if [ "$supervisor" = none ]; then
		line service "nobody starts it: $prefix/service/$SERVICE; to have it started: ./install.sh --service DIR"
	elif [ -z "$(release_processes "/lib/qmail_dk_verifyd.py")" ]; then
		bad service "the resident verifier does not run, though $supervisor is to start it, so each message is verified on its own; remedy: see its log"
	else
		line service "on: the resident verifier, under $supervisor"
	fi
}
