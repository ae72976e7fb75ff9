# SPDX-License-Identifier: MIT
"""Powers of large numbers by libcrypto, seven times as fast as by Python.

They verify RSA signatures, so nothing in them is secret.  A process that verifies one
message gains nothing from them, since loading libcrypto takes as long as two powers.
Importing this module raises ImportError if libcrypto can't be bound.
"""

from ..c_library import c_char_p, c_int, c_void_p, create_string_buffer
from .openssl import OWNED, libcrypto

LONGEST = 2048          # bytes of a number; twice the largest RSA key that is verified

for result, name, *arguments in (
        (OWNED, "BN_new"),
        (OWNED, "BN_CTX_new"),
        (c_void_p, "BN_bin2bn", c_char_p, c_int, c_void_p),
        (c_int, "BN_mod_exp", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p),
        (c_int, "BN_bn2binpad", c_void_p, c_char_p, c_int)):
    try:
        function = getattr(libcrypto, name)
    except AttributeError as error:
        raise ImportError(str(error)) from error
    function.restype = result
    function.argtypes = arguments

# The numbers and the result of one power after the other, never freed.
NUMBERS = [libcrypto.BN_new() for _ in range(4)]
CONTEXT = libcrypto.BN_CTX_new()
BUFFER = create_string_buffer(LONGEST)


def power(base, exponent, modulus):
    """Returns pow(base, exponent, modulus) of positive ints, None if libcrypto can't say.

    modulus: greater than base
    """
    size = (modulus.bit_length() + 7) // 8
    if size > LONGEST or not CONTEXT or not all(NUMBERS):
        return None
    result, *numbers = NUMBERS
    for number, value in zip(numbers, (base, exponent, modulus)):
        data = value.to_bytes((value.bit_length() + 7) // 8, "big")
        if not libcrypto.BN_bin2bn(data, len(data), number):
            return None
    if (libcrypto.BN_mod_exp(result, *numbers, CONTEXT) != 1
            or libcrypto.BN_bn2binpad(result, BUFFER, size) != size):
        return None
    return int.from_bytes(BUFFER.raw[:size], "big")
