#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Verifies the DomainKeys signatures of the message on standard input (CR LF) with
# Mail::DKIM, using the DNS server at 127.0.0.1 on the given port.  Prints for each
# signature its result, domain, selector and detail, separated by tabs.
use strict;
use warnings;
use Mail::DKIM::Verifier;
use Net::DNS;

Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(
    nameservers => ['127.0.0.1'], port => $ARGV[0], searchlist => []));

binmode STDIN;
my $verifier = Mail::DKIM::Verifier->new;
{ local $/; $verifier->PRINT(scalar(<STDIN>) // ''); }
$verifier->CLOSE;

for my $signature (grep { $_->isa('Mail::DKIM::DkSignature') } $verifier->signatures) {
    print join("\t", $signature->result, $signature->domain, $signature->selector,
        $signature->result_detail), "\n";
}
