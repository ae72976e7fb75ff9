# SPDX-License-Identifier: MIT
# How Perl's Mail::AuthenticationResults reads Authentication-Results: for each
# line, the value of a field in hex, says its authserv-id in hex, or nothing.  The
# next line must not come before the answer, for it starts anew from time to time.
use strict;
use warnings;
use Mail::AuthenticationResults::Parser;

$| = 1;
while (my $line = <STDIN>) {
    chomp $line;
    my $parser = Mail::AuthenticationResults::Parser->new();
    # Where it gives up later, the authserv-id may be there all the same.
    eval { $parser->parse(pack("H*", $line)) };
    my $header = $parser->parsed();
    print defined $header ? unpack("H*", $header->value()->value()) : "", "\n";
    exec $^X, $0 if $. == 50_000;      # each of them makes it grow a little
}
