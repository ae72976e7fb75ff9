# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# The interpreter that signs, and the one that has the packages for verifying.
#
# The first needs no packages, so it is the system's own: that outlives an
# upgrade of the distribution, which a private environment does not.  Both start
# equally fast (11 ms of CPU).

# Sets interpreter to one that is new enough and that qmail's users can run.
find_interpreter() {
	if [ -n "$asked_python" ]; then
		set -- "$asked_python"
	else
		set -- "$(recorded python)" python3 /usr/bin/python3 python3.13 python3.12 python3.11 \
			python3.10 python3.9
		[ -z "$system_packages" ] || set -- /usr/bin/python3
	fi
	unfit=
	for candidate; do
		command -v "$candidate" >/dev/null || continue
		if ! is_new_enough "$candidate"; then
			unfit="$unfit; $candidate is not Python 3.9 or later"
			continue
		fi
		# The real one: a version manager's shim costs 100 ms, and environments go.
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
	fail "no Python 3.9 or later that serves${unfit:-; looked for: $*};" \
		"remedy: install one that all users can run (Debian: apt-get install python3)," \
		"or name it with --python"
}

# Runs a command as qmail-remote's user: PYTHON COMMAND
as_signer() {
	by=$1
	shift
	"$by" -IS "$checkout/install/as_signer.py" "$qmail" "$@"
}

# Whether an interpreter has the packages, as the verifier will look for them;
# else sets said to what is wrong with them.
has_packages_to_verify() {
	said=$("$1" -ISB -c 'import sys
sys.path.insert(0, sys.argv[1])
from lib import admin_packages
flaws = admin_packages.flaws()
if flaws:
    sys.exit(flaws)
import cryptography, dkim, dns.message' "$checkout" 2>&1)
}

# Sets verifying_python, and environment to the private one, if that is the way.
prepare_packages() {
	environment=
	if [ -n "$system_packages" ]; then
		verifying_python=$interpreter
		has_packages_to_verify "$interpreter" ||
			fail "the packages of $interpreter don't serve: $said; remedy on Debian and Ubuntu:" \
				"apt-get install python3-dkim python3-dnspython python3-cryptography; where" \
				"they are too old, without --system-packages"
		return
	fi
	made_from=$("$interpreter" -I -c 'import sys; print(sys.executable, sys.version)' | tr '\n' ' '
		cat "$checkout"/requirements*.lock | cksum)
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
	unfinished=$environment
	"$interpreter" -I -c 'import ensurepip, venv' 2>/dev/null ||
		fail "$interpreter can't make private environments;" \
			"remedy on Debian and Ubuntu: apt-get install python3-venv"
	said=$("$interpreter" -I -m venv "$environment" 2>&1) ||
		fail "$interpreter -m venv failed: $said"
	# requirements-build.lock first: what builds a package has to be pinned as well.
	for lock in requirements-build.lock requirements.lock; do
		said=$("$verifying_python" -I -m pip install --quiet --disable-pip-version-check \
			--retries 2 --require-hashes --no-build-isolation --use-pep517 \
			-r "$checkout/$lock" 2>&1) || {
			printf '%s\n' "$said" >&2
			fail "the packages can't be installed, for the reason above; remedy: see to it" \
				"that this machine reaches the package index; or --system-packages; or" \
				"--sign, for signing needs no packages"
		}
	done
	chmod -R u+rwX,go+rX,go-w "$environment"
	printf '%s\n' "$made_from" >"$environment/made-from"
}
