#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Reads the value of an address field (hexadecimal, unfolded) from each line, and
# prints the addresses that the module named by the argument finds in it, each in
# hexadecimal, separated by blanks.
use strict;
use warnings;
no warnings;    # of values that are no addresses

my %readers = (
    'Email::Address::XS' => sub {
        return map { $_->user . '@' . $_->host } grep { defined $_->host && length $_->host }
            Email::Address::XS::parse_email_addresses($_[0]);
    },
    'Mail::Address' => sub {
        return map { $_->address } grep { defined $_->address } Mail::Address->parse($_[0]);
    },
);
my $module = shift @ARGV;
eval "require $module" or exit 2;
my $addresses = $readers{$module};
local $SIG{__WARN__} = sub { };
$| = 1;
while (my $line = <STDIN>) {
    chomp $line;
    my @found = eval { $addresses->(pack('H*', $line)) };
    print join(' ', map { unpack('H*', $_) } @found), "\n";
}
