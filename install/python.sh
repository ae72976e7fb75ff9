# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# Finds the interpreter for signing, and the one with the packages for verifying.
#
# Signing needs no packages, so it uses the system's interpreter, which survives an
# upgrade of the distribution; a private environment does not.  Both start equally
# fast (11 ms of CPU).

# Sets interpreter to one that is new enough and that qmail-remote's user can run.
find_interpreter() {
	if [ -n "$asked_python" ]; then
		set -- "$asked_python"
	else
		# shellcheck disable=SC2086		# several words
		set -- "$(recorded python)" python3 /usr/bin/python3 $PYTHONS
		[ -z "$system_packages" ] || set -- /usr/bin/python3
	fi
	unfit=
	for candidate; do
		command -v "$candidate" >/dev/null || continue
		if ! is_new_enough "$candidate"; then
			unfit="$unfit; $candidate is not Python 3.9 or later"
			continue
		fi
		# The real path: a version manager's shim costs 100 ms, and environments get removed.
		interpreter=$("$candidate" -I -c \
			'import sys; print(getattr(sys, "_base_executable", None) or sys.executable)')
		case $interpreter in
		*[!A-Za-z0-9/._@+-]*)
			unfit="$unfit; $interpreter: only letters, digits and / . _ @ + - serve"
			continue
			;;
		esac
		! as_signer "$interpreter" "$interpreter" -IS -c pass >/dev/null 2>&1 || return 0
		unfit="$unfit; $interpreter can't be run by qmail-remote's user"
	done
	fail "no Python 3.9 or later that works${unfit:-; looked for: $*};" \
		"remedy: install one that all users can run (Debian: apt-get install python3)," \
		"or name it with --python"
}

# Runs a command as qmail-remote's user: PYTHON COMMAND
as_signer() {
	by=$1
	shift
	as_user "$by" "$qmail/queue/lock/tcpto" "$@"
}

# Runs a command as another user: PYTHON USER COMMAND, where USER is a name or a file that
# the user owns
as_user() {
	by=$1
	shift
	"$by" -IS "$checkout/install/as_user.py" "$@"
}

# Prints the users to try the verifier as: qmaild, who runs qmail-smtpd; and the user nobody,
# if there is no qmaild or if any user may run the verifier, in the place of qmail-queue.
verifying_users() {
	if [ -n "$replace_queue" ] || ! id qmaild >/dev/null 2>&1; then
		! id nobody >/dev/null 2>&1 || echo nobody
	fi
	! id qmaild >/dev/null 2>&1 || echo qmaild
}

# Succeeds if a user can run an interpreter and read a program: USER PYTHON PROGRAM
can_start() {
	as_user "$interpreter" "$1" "$2" -ISB -c 'import sys; open(sys.argv[1])' "$3" >/dev/null 2>&1
}

# Succeeds if an interpreter has the packages, searched for as the verifier does; sets said
# to what is wrong with them: PYTHON
has_packages_to_verify() {
	said=$("$1" -ISB -c 'import sys
sys.path.insert(0, sys.argv[1])
from lib.admin import check_packages
flaws = check_packages.flaws()
if flaws:
    sys.exit(flaws)
import cryptography, dkim, dns.message' "$checkout" 2>&1)
}

# Sets verifying_python, and environment to the private environment if one is used.
prepare_packages() {
	environment=
	if [ -n "$system_packages" ]; then
		verifying_python=$interpreter
		has_packages_to_verify "$interpreter" ||
			fail "the packages of $interpreter do not work: $said; remedy on Debian and Ubuntu:" \
				"apt-get install python3-dkim python3-dnspython python3-cryptography; where" \
				"they are too old, without --system-packages"
		return
	fi
	# Not by cksum, which Debian's busybox lacks.
	made_from=$("$interpreter" -I -c 'import sys, zlib
print(sys.executable, *sys.version.split(), *(
    zlib.crc32(open(name, "rb").read()) for name in sys.argv[1:]))' "$checkout"/requirements*.lock)
	environment=$(recorded environment)
	verifying_python=$environment/bin/python3
	if [ -z "$environment" ] || [ "$(cat "$environment/made-from" 2>/dev/null)" != "$made_from" ] ||
		! has_packages_to_verify "$verifying_python"; then
		make_private_environment
	fi
}

make_private_environment() {
	environment=$(unused "$prefix/python")
	verifying_python=$environment/bin/python3
	planned "Make a private environment with $interpreter in $environment" || return 0
	mkdir "$environment"
	: >"$environment/made-from"		# marks the directory as ours
	unfinished="$unfinished $environment"
	"$interpreter" -I -c 'import ensurepip, venv' 2>/dev/null ||
		fail "$interpreter can't make private environments;" \
			"remedy on Debian and Ubuntu: apt-get install python3-venv"
	said=$("$interpreter" -I -m venv "$environment" 2>&1) ||
		fail "$interpreter -m venv failed: $said"
	# requirements-build.lock first, since the packages that build others must be pinned as well.
	for lock in requirements-build.lock requirements.lock; do
		said=$("$verifying_python" -I -m pip install --quiet --disable-pip-version-check \
			--retries 2 --require-hashes --no-build-isolation --use-pep517 \
			-r "$checkout/$lock" 2>&1) || {
			printf '%s\n' "$said" >&2
			fail "the packages can't be installed, see above; remedy: make sure" \
				"that this machine reaches the package index (by a proxy: export" \
				"https_proxy); or --system-packages; or" \
				"--sign, since signing needs no packages"
		}
	done
	chmod -R u+rwX,go+rX,go-w "$environment"
	printf '%s\n' "$made_from" >"$environment/made-from"
}
