# shellcheck shell=sh disable=SC2154
# SPDX-License-Identifier: MIT
# Makes .venv in the checkout, the private environment of ./install.sh demo and tests/run.
#
# These set checkout and environment, and define step and fail, as install.sh does.

# The names that an interpreter may have beside python3.
PYTHONS="python3.15 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9"

is_new_enough() {
	"$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1
}

# Sets python to the first interpreter that is new enough.
find_python() {
	if [ -n "${PYTHON:-}" ]; then
		set -- "$PYTHON"
	else
		# shellcheck disable=SC2086		# several words
		set -- python3 $PYTHONS
	fi
	too_old=
	for python; do
		command -v "$python" >/dev/null || continue
		is_new_enough "$python" && return
		too_old="$too_old $python ($("$python" --version 2>&1 || :))"
	done
	[ -z "$too_old" ] ||
		fail "Python 3.9 or later is needed; found only:$too_old;" \
			"remedy: name a newer one by the variable PYTHON"
	fail "Python 3.9 or later is needed, and there is no $1 in PATH;" \
		"remedy on Debian and Ubuntu: apt-get install python3-venv"
}

pip() {
	"$environment/bin/python" -I -m pip --disable-pip-version-check --quiet "$@"
}

# Succeeds if the private environment has all packages of a requirements file.
# Needs no network.
has_packages() {
	is_new_enough "$environment/bin/python" &&
		pip install --no-index -r "$1" >/dev/null 2>&1
}

# Fails unless files can be made in a directory.  A shell's test -w may say so of a file
# system that is read-only, because root runs it: PYTHON DIRECTORY
check_writable() {
	"$1" -I -c 'import os, sys; sys.exit(not os.access(sys.argv[1], os.W_OK))' "$2" ||
		fail "no permission to change $2;" \
			"remedy: run this as its owner, in a copy of your own if it is read-only"
}

# Makes the private environment unless there is a usable one.
make_environment() {
	if is_new_enough "$environment/bin/python" && pip --version >/dev/null 2>&1; then
		check_writable "$environment/bin/python" "$environment"
		return
	fi
	find_python
	"$python" -I -c 'import ensurepip, venv' 2>/dev/null ||
		fail "$python can't make private environments: part of it is missing;" \
			"remedy on Debian and Ubuntu: apt-get install python3-venv"
	check_writable "$python" "$checkout"
	step "Making a private environment with $("$python" --version) in .venv"
	if [ ! -e "$environment" ]; then
		# All or nothing: an environment that is not finished is removed.
		trap 'rm -rf "$environment"' EXIT
		trap 'exit 129' HUP
		trap 'exit 130' INT
		trap 'exit 143' TERM
	fi
	said=$("$python" -I -m venv --clear "$environment" 2>&1) ||
		fail "$python -m venv failed; remedy on Debian and Ubuntu:" \
			"apt-get install python3-venv; it said: $said"
}

# Installs the packages of a requirements file into the private environment, if needed.
require_packages() {
	has_packages "$1" && return
	make_environment
	step "Installing the packages of ${1#"$checkout"/} into .venv"
	said=$(pip install --retries 2 -r "$1" 2>&1) || {
		printf '%s\n' "$said" >&2
		fail "the packages can't be installed, see above;" \
			"remedy: make sure that this machine reaches the package index" \
			"that pip is told to use (by a proxy: export https_proxy), and run this again"
	}
	trap - EXIT HUP INT TERM
}
