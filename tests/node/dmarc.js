// SPDX-License-Identifier: MIT
// Evaluates DMARC with mailauth.  Each line of standard input is a JSON object: author, dkim
// and spf (lists of domains), texts ({name: [TXT record] or the code of a failure}) and names
// (those that exist).  Answers each with a line: [status, policy of a failure after t=,
// list of what is aligned].
'use strict';

const readline = require('node:readline');
const { dmarc } = require('mailauth/lib/dmarc');

const CODES = { none: 'ENOTFOUND', 'no data': 'ENODATA' };

const failure = code => Object.assign(new Error(code), { code });

const resolver = asked => async (name, type) => {
    const value = type === 'TXT' ? asked.texts[name] : undefined;
    if (typeof value === 'string') {
        throw failure(value);
    }
    if (value && value.length) {
        return value.map(text => [text]);
    }
    const exists = asked.names.some(other => other === name || other.endsWith('.' + name));
    throw failure(exists ? CODES['no data'] : CODES.none);
};

const answer = async asked => {
    const found = await dmarc({
        headerFrom: ['a@' + asked.author],
        dkimDomains: asked.dkim.map(domain => ({ domain })),
        spfDomains: asked.spf.map(domain => ({ domain })),
        resolver: resolver(asked)
    });
    const { status, policy, alignment } = found;
    const aligned = status.result !== 'pass' ? []
        : ['dkim', 'spf'].filter(kind => alignment[kind].result);
    return [status.result, status.result === 'fail' ? policy : '', aligned];
};

(async () => {
    for await (const line of readline.createInterface({ input: process.stdin })) {
        process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + '\n');
    }
})();
