# SPDX-License-Identifier: MIT
"""What the signer and the verifier share.

Layers, each importing only those above it:

  0  errors, settings, message, address, spool, process, delivery, maillog
  1  canonicalization, crypto (with its two backends), keys, signature_field
  2  dkim_sign, domainkeys_sign
  3  outbound
  4  admin_* and qmail_dk, the administrator's command

The signing path runs once per delivery, so it imports nothing that costs
milliseconds (re, dataclasses, typing, email, logging, dns, dkim): its small
records are classes with __slots__ or plain tuples, described where they are
made, and its types stand in the docstrings.
"""

__version__ = "0.1"
