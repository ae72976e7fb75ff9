# SPDX-License-Identifier: MIT
# How Perl's Email::MIME reads the header of the message on standard input: prints
# each field's name and value in hex, and at last the body in hex.
use strict;
use warnings;
use Email::MIME;

my $message = Email::MIME->new(do { local $/; <STDIN> });
my @fields = $message->header_raw_pairs();
while (my ($name, $value) = splice @fields, 0, 2) {
    print unpack("H*", $name), " ", unpack("H*", $value), "\n";
}
print unpack("H*", $message->body_raw()), "\n";
