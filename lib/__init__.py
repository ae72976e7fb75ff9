# SPDX-License-Identifier: MIT
"""What the signer, the verifier and the administrator's command share.

Each module imports only modules that stand before it here (a test holds it to
that):

  ground         errors results c_library process maillog dependencies
  mail           message address canonicalization tag_values signature_field
  the machine    settings spool delivery queueing crypto_openssl crypto_package
                 crypto keys resolver lookups key_cache
  signing        authentication_results forwarded dkim_sign domainkeys_sign
                 outbound
  verifying      dkimpy key_record body_hash verification dkim_verify
                 domainkeys_verify domainkeys_policy inbound annotation
                 resident_exchange incoming
  administrator  admin_findings admin_records admin_keys admin_rotate
                 admin_account admin_check admin_running admin_packages
                 admin_installation admin_resident admin_explain admin_trial
                 admin_verify qmail_dk
  resident       prefork resident_verifier qmail_dk_verifyd
                 spawn_protocol signed_messages signing_worker resident_signer
                 resident_rspawn qmail_rspawn

The signing path runs once per delivery, and so does what the verifier does
beside its resident server.  So they import nothing that costs milliseconds (os,
re, dataclasses, typing, email, logging, dns, dkim): posix has the calls that os
passes on, small records are classes with __slots__ or plain tuples, described
where they are made, and types stand in the docstrings.
"""

__version__ = "0.1"
