#!/bin/sh
# SPDX-License-Identifier: MIT
# The administrator's entry point: a function for each verb, main at the end.
# install/environment.sh makes .venv, for the demonstration and for tests/run; the other
# files install/*.sh belong to the verbs install, status and uninstall.
set -eu

checkout=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
environment=$checkout/.venv

usage() {
	cat <<-END
	usage: ./install.sh [VERB] [OPTION]...

	  install    install, upgrade or repair (the default).  The first time, prepare
             the verifier, try the signer, then switch signing on; later, keep
             what is there
  status     show what is on, and what is wrong
  uninstall  put everything back, except keys and control files
  demo       sign, deliver and verify a message while you watch, all on this
             machine; needs no root, and makes only .venv in this directory
  help       show this; --version shows the version

  --qmail DIR        home of qmail (default /var/qmail)
  --prefix DIR       where to install (default /usr/local/lib/qmail-dk)
  --bindir DIR       where to put the command qmail-dk (default: bin, beside the
                     lib of the prefix)
  --mandir DIR       where to put the manual (default: share/man there)
  --python PATH      Python interpreter (default: the one used last time, else
                     the first of python3, /usr/bin/python3 and others that works)
  --system-packages  verify with the distribution's python3-dkim,
                     python3-dnspython and python3-cryptography instead of a
                     private environment
  --sign             install only the signer, which needs no packages
  --verify           prepare the verifier, and leave signing as it is; replaces
                     bin/qmail-queue if qmail does not support QMAILQUEUE
  --wrap             replace bin/qmail-remote even if QMAILREMOTE would do
  --resident         for busy hosts: sign in a qmail-rspawn that keeps running,
                     and verify in a server
  --no-resident      go back to one program for each message
  --no-native        start the verifier by the launcher in sh, even if there is a
                     compiler for the one in C (--native: go back to that)
  --service PLACE    what starts that server: a directory that svscan or
                     runsvdir scans, systemd, or none (default: detected)
  --user NAME        user to run the server as (default qmaildk, created if
                     missing)
  --group NAME       group that may use the server: qmail-smtpd's (default: that
                     of qmaild)
  --dry-run          only show what would be done

The options are remembered for the next installation; uninstall forgets them.
The environment variable PYTHON does the same as --python.
	END
}

step() {
	printf '==> %s\n' "$*"
}

# Announces a step.  Succeeds if it should be taken: with --dry-run it is only announced.
planned() {
	step "$*"
	[ -z "$dry_run" ]
}

warn() {
	printf 'install.sh: %s\n' "$*" >&2
}

fail() {
	printf 'install.sh: %s\n' "$*" >&2
	exit 1
}

misused() {
	printf 'install.sh: %s; ./install.sh help shows the usage\n' "$*" >&2
	exit 2
}

demo() {
	[ $# = 0 ] || misused "demo takes no arguments"
	require_packages "$checkout/demo/requirements.txt"
	exec "$environment/bin/python" -I "$checkout/demo/run.py"
}

# shellcheck disable=SC2034		# for install/*.sh
# Sets a variable for each option.
read_options() {
	qmail='' prefix=/usr/local/lib/qmail-dk prefix_given='' bindir='' mandir='' asked_python=${PYTHON:-}
	sign='' verify='' wrap='' system_packages='' dry_run=''
	resident='' native='' service='' service_user='' service_group=''
	unfinished='' replaced='' directories='' staging='' service_starts=''
	while [ $# -gt 0 ]; do
		case $1 in
		--qmail | --prefix | --bindir | --mandir | --python)
			[ $# -gt 1 ] || misused "$1 needs a value"
			case $2 in
			*[!A-Za-z0-9/._@+-]*) misused "$1 $2: only letters, digits and / . _ @ + - serve" ;;
			/*) ;;
			*) misused "$1 $2: not an absolute path" ;;
			esac
			case $2/ in
			*/./* | */../*) misused "$1 $2: . and .. serve in no path" ;;
			esac
			case ${2%/} in
			'' | */ | *//*) misused "$1 $2: neither / nor // serves here" ;;
			esac
			case $1 in
			--qmail) qmail=${2%/} ;;
			--prefix) prefix=${2%/} prefix_given=yes ;;
			--bindir) bindir=${2%/} ;;
			--mandir) mandir=${2%/} ;;
			--python) asked_python=$2 ;;
			esac
			shift
			;;
		--service | --user | --group)
			[ $# -gt 1 ] || misused "$1 needs a value"
			case $1,$2 in
			*,*,* | *[!A-Za-z0-9/._@+,-]* | *,-*) misused "$1 $2: only letters, digits and / . _ @ + - serve" ;;
			--service,/) misused "$1 /: nothing scans that" ;;
			--service,systemd | --service,none | --service,/*) service=${2%/} ;;
			--service,*) misused "$1 $2: neither systemd, none nor an absolute path" ;;
			--user,*) service_user=$2 ;;
			--group,*) service_group=$2 ;;
			esac
			shift
			;;
		--resident) resident=yes ;;
		--no-resident) resident=no ;;
		--native) native=yes ;;
		--no-native) native=no ;;
		--sign) sign=yes ;;
		--verify) verify=asked ;;
		--wrap) wrap=yes ;;
		--system-packages) system_packages=yes ;;
		--dry-run) dry_run=yes ;;
		*) misused "unknown option: $1" ;;
		esac
		shift
	done
}

# shellcheck disable=SC2034		# for install/*.sh
# Sets prefix and qmail where no option does: to the prefix that qmail's launchers name, and
# the qmail that this prefix serves, or else to the defaults.
settle_places() {
	named=$(told prefix)
	[ -n "$prefix_given" ] || prefix=${named:-$prefix}
	prefix_given=yes
	served=$(recorded qmail)
	qmail=${qmail:-${served:-/var/qmail}}
	[ "$qmail" = "${served:-$qmail}" ] ||
		fail "$prefix serves $served; remedy: another --prefix for $qmail, or uninstall first"
	remote_launcher=$qmail/bin/qmail-remote-dk	# the one that QMAILREMOTE names
	[ "$(id -u)" = 0 ] || [ -w "$qmail/bin" ] || { [ ! -e "$qmail/bin" ] && [ -w "$prefix" ]; } ||
		fail "only root can do this: $qmail/bin is not yours"
	check_prefix
	if [ "${named:-$prefix}" != "$prefix" ] && [ -f "$named/installed" ]; then
		fail "$qmail is served by the installation in $named; remedy: --prefix $named, or uninstall that first"
	fi
}

# shellcheck disable=SC2034		# for install/*.sh
# Sets the options that were not given, from the record or to the defaults.
complete_options() {
	settle_places		# again, as the record may have changed while we waited
	case $prefix in
	*/lib/*) root=${prefix%/lib/*} ;;
	*) root=$prefix ;;
	esac
	bindir=${bindir:-$(recorded bindir)} mandir=${mandir:-$(recorded mandir)}
	bindir=${bindir:-$root/bin} mandir=${mandir:-$root/share/man}
	native=${native:-$(recorded native)}
	wrap=${wrap:-$(recorded wrap)} system_packages=${system_packages:-$(recorded system_packages)}
}

main() {
	verb=install
	case ${1:-} in
	-h | --help) verb=help ;;
	--version) verb=version ;;
	'' | -*) ;;
	*)
		verb=$1
		shift
		;;
	esac
	case $verb in
	install | status | uninstall)
		for part in environment prefix lock processes host python tree native places resident report verbs; do
			# shellcheck source=/dev/null
			. "$checkout/install/$part.sh"
		done
		read_options ${1+"$@"}		# posh, under -u, takes no arguments for an unset parameter
		"verb_$verb"
		;;
	demo)
		# shellcheck source=install/environment.sh
		. "$checkout/install/environment.sh"
		demo ${1+"$@"}
		;;
	help) usage ;;
	version) sed -n 's/^__version__ = "\(.*\)"/qmail-dk \1/p' "$checkout/lib/__init__.py" ;;
	*) misused "unknown verb: $verb" ;;
	esac
}

main ${1+"$@"}
