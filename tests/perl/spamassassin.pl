# SPDX-License-Identifier: MIT
# How SpamAssassin reads messages, with the rules in the directory named by the argument.
# For each line of standard input, a message in hex, prints JSON: {"hits": [rule],
# "results": [[method, status, reason, {property: value}]]}, with the results of the AuthRes
# plugin, sorted by method.
use strict;
use warnings;
use JSON::PP;
use Mail::SpamAssassin;

my $rules = $ARGV[0];
my $filter = Mail::SpamAssassin->new({
    rules_filename => $rules, site_rules_filename => $rules, userprefs_filename => '/dev/null',
    userstate_dir => "$rules/state", dont_copy_prefs => 1, local_tests_only => 1 });
while (my $line = <STDIN>) {
    chomp $line;
    my $status = $filter->check($filter->parse(pack('H*', $line)));
    my $parsed = $status->{authres_parsed} || {};
    my @results;
    for my $method (sort keys %$parsed) {
        for my $result (@{$parsed->{$method}}) {
            my $types = $result->{properties};
            my %properties;
            for my $type (keys %$types) {
                $properties{"$type.$_"} = $types->{$type}{$_} for keys %{$types->{$type}};
            }
            push @results, [$method, $result->{result}, $result->{reason}, \%properties];
        }
    }
    print encode_json({ hits => [split /,/, $status->get_names_of_tests_hit()],
                        results => \@results }), "\n";
}
