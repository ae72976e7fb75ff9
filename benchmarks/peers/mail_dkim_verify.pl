# SPDX-License-Identifier: MIT
# Verifies the message on descriptor 0 with Mail::DKIM and prints the result of
# each signature; the argument is the port of the DNS on loopback.
use strict;
use warnings;
use Mail::DKIM::Verifier;
use Mail::DKIM::DNS;
use Net::DNS::Resolver;

Mail::DKIM::DNS::resolver(
    Net::DNS::Resolver->new(nameservers => ["127.0.0.1"], port => $ARGV[0]));
my $verifier = Mail::DKIM::Verifier->new;
while (my $line = <STDIN>) {
    $line =~ s/\n\z/\r\n/;
    $verifier->PRINT($line);
}
$verifier->CLOSE;
print $_->result, "\n" for $verifier->signatures;
