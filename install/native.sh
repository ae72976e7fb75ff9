# shellcheck shell=sh disable=SC2154
# SPDX-License-Identifier: MIT
# Compiles the verifier's launcher in C, which qmail-dk-verify then is.
#
# qmail-dk-verify.sh is the launcher in sh: the one in C executes it, and it also is
# qmail-dk-verify if there is no compiler, or if what that makes does not pass a trial.
# In the place of bin/qmail-queue it always is sh that serves, as places.sh needs.

NATIVE=qmail-dk-verify

# Writes $staging/qmail-dk-verify.
prepare_native() {
	cp "$staging/$NATIVE.sh" "$staging/$NATIVE"
	[ "$native" != no ] || return 0
	step "Compile the verifier's launcher, and try it"
	why='there is no C compiler'
	for compiler in musl-gcc cc gcc clang; do		# the first makes the smallest program
		command -v $compiler >/dev/null || continue
		for how in -static -pie; do		# a static program starts in half the time
			compile_native $how || continue
			said=$(try_native 2>&1) || continue
			mv -f "$staging/$NATIVE.try" "$staging/$NATIVE"
			return
		done
		why=$(printf %s "$said" | head -n 1)
	done
	rm -f "$staging/$NATIVE.try"
	step "The launcher in sh serves instead: $why"
}

# Compiles the launcher to $staging/qmail-dk-verify.try, by $compiler: OPTION
compile_native() {
	said=$($compiler -std=c99 -O2 -fstack-protector-strong -fPIE "$1" -Wl,-z,relro,-z,now \
		-D_FORTIFY_SOURCE=2 -DQMAIL="\"$qmail\"" -DLAUNCHER="\"$prefix/bin/$NATIVE.sh\"" \
		-DPROGRAM="\"$release/qmail_qfilter_verify.py\"" \
		-o "$staging/$NATIVE.try" "$checkout/launcher/$NATIVE.c" 2>&1)
}

# Has each user who verifies run the launcher with a server that answers.
try_native() {
	# shellcheck disable=SC2046		# a word for each user
	"$interpreter" -ISB "$checkout/install/trial_native.py" "$release" "$staging" \
		"$staging/$NATIVE.try" $(verifying_users)
}
