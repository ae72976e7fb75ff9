#!/bin/sh
# SPDX-License-Identifier: MIT
# The administrator's entry point: one function for each verb, main at the end.
# What install, status and uninstall need is in install/*.sh.
set -eu

checkout=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
environment=$checkout/.venv

usage() {
	cat <<-END
	usage: ./install.sh [VERB] [OPTION]...

	  install    installs, upgrades or repairs; the verb if there is none.  At first
	             it prepares the verifier and switches signing on, after a trial;
	             later it keeps to what is there
	  status     says what is on
	  uninstall  puts everything back; keys and control files stay
	  demo       shows a message being signed, delivered and verified, all on this
	             machine; needs no root, and makes nothing but .venv in this directory
	  help       shows this

	  --qmail DIR        qmail's home; /var/qmail
	  --prefix DIR       where to install; /usr/local/lib/qmail-dk
	  --bindir DIR       for the command qmail-dk, and
	  --mandir DIR       for the manual; bin and share/man beside the prefix's lib
	  --python PATH      the interpreter; the first that serves of the last
	                     installation's, python3, /usr/bin/python3 and others
	  --system-packages  verify with the distribution's python3-dkim,
	                     python3-dnspython, python3-cryptography, instead of a
	                     private environment
	  --sign             install the signer only: needs no packages
	  --verify           prepare the verifier, and leave signing as it is; where qmail
	                     knows no QMAILQUEUE, replace bin/qmail-queue
	  --wrap             take the place of bin/qmail-remote even where QMAILREMOTE
	                     would do
	  --resident         for hosts with much mail: sign by a qmail-rspawn that stays, and
	                     verify by a server
	  --no-resident      go back to one program for each message
	  --service PLACE    who starts that server: a directory that svscan or runsvdir
	                     scans, systemd, or none; found out if not given
	  --user NAME        whom it runs as; qmaildk, who is made if need be
	  --group NAME       of qmail-smtpd, which may use it; qmaild's
	  --dry-run          only say what would be done

	What an installation was told is kept for the next; uninstall forgets it.
	The environment variable PYTHON is another way to say --python.
	END
}

step() {
	printf '==> %s\n' "$*"
}

# Announces a step.  Whether to take it: --dry-run only announces.
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

is_new_enough() {
	"$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1
}

# Sets python to the first interpreter that is new enough.
find_python() {
	if [ -n "${PYTHON:-}" ]; then
		set -- "$PYTHON"
	else
		set -- python3 python3.13 python3.12 python3.11 python3.10 python3.9
	fi
	too_old=
	for python; do
		command -v "$python" >/dev/null || continue
		is_new_enough "$python" && return
		too_old="$too_old $python ($("$python" --version 2>&1 || :))"
	done
	[ -z "$too_old" ] || fail "Python 3.9 or later is needed; found only:$too_old"
	fail "Python 3.9 or later is needed, and there is no $1 in PATH"
}

pip() {
	"$environment/bin/python" -I -m pip --disable-pip-version-check --quiet "$@"
}

# Whether the private environment has all that a requirements file names;
# needs no network.
has_packages() {
	is_new_enough "$environment/bin/python" &&
		pip install --no-index -r "$1" >/dev/null 2>&1
}

# Makes the private environment, unless there is one that serves.
make_environment() {
	if is_new_enough "$environment/bin/python" && pip --version >/dev/null 2>&1; then
		return
	fi
	find_python
	"$python" -I -c 'import ensurepip, venv' 2>/dev/null ||
		fail "$python can't make private environments: part of it is missing;" \
			"remedy on Debian and Ubuntu: apt-get install python3-venv"
	[ -w "$checkout" ] ||
		fail "no permission to make .venv in $checkout;" \
			"remedy: run this as the owner, or in a copy of your own"
	step "Making a private environment with $("$python" --version) in .venv"
	if [ ! -e "$environment" ]; then
		# All or nothing: what is made only in part goes again.
		trap 'rm -rf "$environment"' EXIT
		trap 'exit 129' HUP
		trap 'exit 130' INT
		trap 'exit 143' TERM
	fi
	said=$("$python" -I -m venv --clear "$environment" 2>&1) ||
		fail "$python -m venv failed; remedy on Debian and Ubuntu:" \
			"apt-get install python3-venv; it said: $said"
}

# Makes sure that the private environment has what a requirements file names.
require_packages() {
	has_packages "$1" && return
	make_environment
	step "Installing the packages of ${1#"$checkout"/} into .venv"
	said=$(pip install --retries 2 -r "$1" 2>&1) || {
		printf '%s\n' "$said" >&2
		fail "the packages can't be installed, for the reason above;" \
			"remedy: see to it that this machine reaches the package index" \
			"that pip is told to use, and run this again"
	}
	trap - EXIT HUP INT TERM
}

demo() {
	[ $# = 0 ] || misused "demo takes no arguments"
	require_packages "$checkout/demo/requirements.txt"
	exec "$environment/bin/python" -I "$checkout/demo/run.py"
}

# shellcheck disable=SC2034		# for install/*.sh
# Sets a variable for each option.
read_options() {
	qmail='' prefix=/usr/local/lib/qmail-dk bindir='' mandir='' asked_python=${PYTHON:-}
	sign='' verify='' wrap='' system_packages='' dry_run=''
	resident='' service='' service_user='' service_group=''
	while [ $# -gt 0 ]; do
		case $1 in
		--qmail | --prefix | --bindir | --mandir | --python)
			[ $# -gt 1 ] || misused "$1 needs a value"
			case $2 in
			*[!A-Za-z0-9/._@+-]*) misused "$1 $2: only letters, digits and / . _ @ + - serve" ;;
			/*) ;;
			*) misused "$1 $2: not an absolute path" ;;
			esac
			case $1 in
			--qmail) qmail=${2%/} ;;
			--prefix) prefix=${2%/} ;;
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
			--service,systemd | --service,none | --service,/*) service=${2%/} ;;
			--service,*) misused "$1 $2: neither systemd, none nor an absolute path" ;;
			--user,*) service_user=$2 ;;
			--group,*) service_group=$2 ;;
			esac
			shift
			;;
		--resident) resident=yes ;;
		--no-resident) resident=no ;;
		--sign) sign=yes ;;
		--verify) verify=asked ;;
		--wrap) wrap=yes ;;
		--system-packages) system_packages=yes ;;
		--dry-run) dry_run=yes ;;
		*) misused "unknown option: $1" ;;
		esac
		shift
	done
	complete_options
}

# shellcheck disable=SC2034		# for install/*.sh
# What is not given is as recorded, or the default.
complete_options() {
	[ -n "$prefix" ] || misused "--prefix / is no place"
	served=$(recorded qmail)
	qmail=${qmail:-${served:-/var/qmail}}
	[ "$qmail" = "${served:-$qmail}" ] ||
		fail "$prefix serves $served; remedy: another --prefix for $qmail, or uninstall first"
	case $prefix in
	*/lib/*) root=${prefix%/lib/*} ;;
	*) root=$prefix ;;
	esac
	bindir=${bindir:-$(recorded bindir)} mandir=${mandir:-$(recorded mandir)}
	bindir=${bindir:-$root/bin} mandir=${mandir:-$root/share/man}
	wrap=${wrap:-$(recorded wrap)} system_packages=${system_packages:-$(recorded system_packages)}
	[ "$(id -u)" = 0 ] || [ -w "$qmail/bin" ] || fail "only root can do this: $qmail/bin is not yours"
}

main() {
	verb=install
	case ${1:-} in
	-h | --help) verb=help ;;
	'' | -*) ;;
	*)
		verb=$1
		shift
		;;
	esac
	case $verb in
	install | status | uninstall)
		for part in host python tree places resident report verbs; do
			# shellcheck source=/dev/null
			. "$checkout/install/$part.sh"
		done
		read_options "$@"
		"verb_$verb"
		;;
	demo) demo "$@" ;;
	help) usage ;;
	*) misused "unknown verb: $verb" ;;
	esac
}

main "$@"
