# SPDX-License-Identifier: MIT
# How Perl's Mail::AuthenticationResults reads the value of a field on standard input.
# Prints a JSON list: [method, status, reason, {property: value}] for each result.
use strict;
use warnings;
use JSON::PP;
use Mail::AuthenticationResults::Parser;

my $value = do { local $/; <STDIN> };
my $header = Mail::AuthenticationResults::Parser->new($value)->parsed();
my @results;
for my $entry (@{$header->children()}) {
    my $reason = '';
    my %properties;
    for my $part (@{$entry->children()}) {
        next if $part->isa('Mail::AuthenticationResults::Header::Comment');
        if ($part->key() eq 'reason') {
            $reason = $part->value();
        } else {
            $properties{$part->key()} = $part->value();
        }
    }
    push @results, [$entry->key(), $entry->value(), $reason, \%properties];
}
print encode_json([$header->value()->value(), \@results]), "\n";
