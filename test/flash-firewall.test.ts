/** Whether the rules of a firewall drop or refuse something that comes in: lists as nft and iptables print them. */
import { describe, expect, test } from 'vitest';
import { iptablesRules, nftRules } from '../src/flash/filter-rules.ts';

const table = (name: string, ...chains: readonly string[]): string => `table ${name} {\n${chains.join('\n\n')}\n}\n`;
const chain = (name: string, ...rules: readonly string[]): string => `\tchain ${name} {\n${rules.map((rule) => `\t\t${rule}\n`).join('')}\t}`;
const base = (hook: string, policy = 'accept'): string => `type filter hook ${hook} priority filter; policy ${policy};`;

describe('nftRules()', () => {
  test.each<[string, string]>([
    ['nothing', ''],
    ['chains that accept', table('inet filter', chain('input', base('input'), 'tcp dport 22 accept'))],
    ['what goes through or out', table('inet filter', chain('forward', base('forward', 'drop')), chain('output', base('output'), 'reject'))],
    ['a chain to which nobody jumps', table('inet filter', chain('input', base('input')), chain('unused', 'drop'))],
    ['words of a comment', table('inet filter', chain('input', base('input'), 'accept comment "do not drop or reject"'))],
    ['a chain of the same name in another table', table('inet one', chain('input', base('input'), 'jump rest')) + table('inet two', chain('rest', 'drop'))],
  ])('%s: nothing that comes in is dropped', (_, ruleset) => expect(nftRules(ruleset)).toBeUndefined());

  test.each<[string, string, string]>([
    ['a policy', table('inet filter', chain('input', base('input', 'drop'))), 'inet filter input'],
    ['a rule', table('ip own', chain('in', base('input'), 'iifname "eth0" udp dport 69 counter packets 0 bytes 0 drop')), 'ip own in'],
    ['one that refuses', table('inet filter', chain('input', base('input'), 'reject with icmpx type port-unreachable')), 'inet filter input'],
    ['one in front of the routes', table('inet raw', chain('pre', base('prerouting'), 'fib saddr . iif oif missing drop')), 'inet raw pre'],
    [
      'one behind two jumps',
      table(
        'inet filter',
        chain('input', base('input'), 'jump first'),
        chain('first', 'ct state vmap { established : accept, new : goto last }'),
        chain('last', 'drop'),
      ),
      'inet filter input',
    ],
    ['the second table', table('ip nat', chain('pre', base('prerouting'))) + table('inet filter', chain('input', base('input', 'drop'))), 'inet filter input'],
  ])('%s that drops', (_, ruleset, where) => expect(nftRules(ruleset)).toEqual({ by: 'nft', chain: where }));

  test('rules of iptables are changed by iptables', () => {
    const ruleset = table('ip filter', chain('INPUT', base('input'), 'meta l4proto udp counter packets 0 bytes 0 xt target "REJECT"'));
    expect(nftRules(ruleset)).toEqual({ by: 'iptables', chain: 'ip filter INPUT' });
  });

  test('chains that jump in a circle end it', () => {
    expect(nftRules(table('ip t', chain('a', base('input'), 'jump b'), chain('b', 'jump a')))).toBeUndefined();
  });
});

describe('iptablesRules()', () => {
  test.each([
    ['nothing', '-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n'],
    ['a chain to which nobody jumps', '-P INPUT ACCEPT\n-N rest\n-A rest -j DROP\n'],
    ['a rule for what goes through', '-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-A FORWARD -j REJECT\n'],
  ])('%s: nothing that comes in is dropped', (_, rules) => expect(iptablesRules(rules)).toBeUndefined());

  test.each([
    ['a policy', '-P INPUT DROP\n'],
    ['a rule', '-P INPUT ACCEPT\n-A INPUT -i eth0 -p udp -m udp --dport 69 -j DROP\n'],
    ['one that refuses, behind a jump', '-P INPUT ACCEPT\n-N rest\n-A INPUT -j rest\n-A rest -j REJECT --reject-with icmp-port-unreachable\n'],
  ])('%s that drops', (_, rules) => expect(iptablesRules(rules)).toEqual({ by: 'iptables', chain: 'ip filter INPUT' }));
});
