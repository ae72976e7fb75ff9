# SPDX-License-Identifier: MIT
# Signs the message on descriptor 0 with Mail::DKIM, DKIM and DomainKeys, and
# runs $DKREMOTE on the result, as a wrapper of qmail-remote does.
#
#    perl mail_dkim_sign.pl domain selector key-file
use strict;
use warnings;
use Mail::DKIM::Signer;
use Mail::DKIM::TextWrap;    # folds the fields
use Mail::DKIM::Signature;
use Mail::DKIM::DkSignature;

my ($domain, $selector, $key_file) = @ARGV;

sub both_signatures {
    my ($signer) = @_;
    my %common = (Domain => $domain, Selector => $selector, Headers => $signer->headers);
    $signer->add_signature(Mail::DKIM::DkSignature->new(
        %common, Algorithm => "rsa-sha1", Method => "nofws"));
    $signer->add_signature(Mail::DKIM::Signature->new(
        %common, Algorithm => "rsa-sha256", Method => "relaxed/relaxed"));
    return 0;
}

my $signer = Mail::DKIM::Signer->new(Policy => \&both_signatures, KeyFile => $key_file);
while (my $line = <STDIN>) {
    $line =~ s/\n\z/\r\n/;
    $signer->PRINT($line);
}
$signer->CLOSE;

open my $copy, "+>", undef or die "no temporary file: $!";
for my $signature ($signer->signatures) {
    (my $field = $signature->as_string) =~ s/\r//g;
    print {$copy} "$field\n";
}
seek STDIN, 0, 0;
while (my $line = <STDIN>) {
    print {$copy} $line;
}
seek $copy, 0, 0;
open STDIN, "<&", $copy or die "no descriptor: $!";
exec $ENV{DKREMOTE} or die "$ENV{DKREMOTE}: $!";
