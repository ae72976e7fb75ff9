#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Verifies the message on standard input (CR LF) with Mail::DKIM, its DNS being
# the JSON object of TXT records in the file named by the argument.  Prints a
# JSON list: [protocol, domain, selector, algorithm, result, detail] for each
# signature, from top to bottom.
use strict;
use warnings;
use JSON::PP;
use Mail::DKIM::Verifier;
use Net::DNS;

open(my $file, '<', $ARGV[0]) or die "$ARGV[0]: $!\n";
my $records = decode_json(do { local $/; <$file> });

{
    package Records;    # as much of Net::DNS::Resolver as Mail::DKIM::DNS calls
    sub new { return bless {}, shift }
    sub errorstring { return 'NOERROR' }
    sub send {
        my ($self, $name, $type) = @_;
        my $packet = Net::DNS::Packet->new($name, $type);
        $packet->header->qr(1);
        my $text = $records->{$name};
        if ($type eq 'TXT' && defined $text) {
            my @strings = unpack('(a255)*', $text);
            $packet->push(answer => Net::DNS::RR->new(
                owner => $name, type => 'TXT', txtdata => \@strings));
        } else {
            $packet->header->rcode('NXDOMAIN');
        }
        return $packet;
    }
}
Mail::DKIM::DNS::resolver(Records->new);

binmode STDIN;
my $verifier = Mail::DKIM::Verifier->new;
{ local $/; $verifier->PRINT(scalar(<STDIN>) // ''); }
$verifier->CLOSE;

my @verdicts;
for my $signature ($verifier->signatures) {
    my $detail = $signature->result_detail;
    my $result = $signature->result eq 'pass' ? 'pass'
        : $detail =~ /unsupported algorithm/ ? 'unsupported' : 'fail';
    push @verdicts, [
        $signature->isa('Mail::DKIM::DkSignature') ? 'domainkeys' : 'dkim',
        $signature->domain, $signature->selector, $signature->algorithm, $result, $detail ];
}
print encode_json(\@verdicts), "\n";
