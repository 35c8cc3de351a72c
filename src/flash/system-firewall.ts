/** The firewall of this Linux. Only the administrator may read its rules. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { iptablesRules, nftRules } from './filter-rules.ts';
import type { Firewall } from './host.ts';
import { readSystemFile as read } from './system-files.ts';

/** Milliseconds. */
const patience = 5000;

/** Where such programs are, which is not on every user's path. */
const folders = '/usr/sbin:/sbin';

/** @returns what it prints; `refused` where it ends with an error, `missing` where it is not installed */
function ask(program: string, ...words: string[]): { readonly text: string } | 'refused' | 'missing' {
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:${folders}`, LC_ALL: 'C' };
  const { stdout, status, error } = spawnSync(program, words, { encoding: 'utf8', timeout: patience, maxBuffer: 2 ** 26, env });
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return 'missing';
  return status === 0 ? { text: stdout } : 'refused';
}

/** The rules of the older kernel interface, where it holds any. It is asked by its file first: iptables would load it only to say that it is empty. */
function legacyRules(): Firewall | undefined {
  const tables = read('/proc/net/ip_tables_names');
  if (tables === undefined && existsSync('/proc/net/ip_tables_names')) return { kind: 'unknown', see: 'sudo iptables -S' };
  if (tables?.split('\n').includes('filter') !== true) return undefined;
  const first = ask('iptables-legacy', '-S');
  const told = first === 'missing' ? ask('iptables', '-S') : first;
  if (typeof told === 'string') return { kind: 'unknown', see: told === 'missing' ? undefined : 'sudo iptables -S' };
  const rules = iptablesRules(told.text);
  return rules === undefined ? undefined : { kind: 'rules', ...rules };
}

export function firewall(): Firewall {
  if (/^ENABLED=yes/im.test(read('/etc/ufw/ufw.conf') ?? '')) return { kind: 'ufw' };
  if (existsSync('/run/firewalld.pid') || existsSync('/var/run/firewalld.pid')) return { kind: 'firewalld' };
  const told = ask('nft', 'list', 'ruleset');
  const rules = typeof told === 'string' ? undefined : nftRules(told.text);
  if (rules !== undefined) return { kind: 'rules', ...rules };
  const legacy = legacyRules();
  if (legacy?.kind === 'rules') return legacy;
  if (told === 'refused') return { kind: 'unknown', see: 'sudo nft list ruleset' };
  if (legacy !== undefined) return legacy;
  if (told !== 'missing') return { kind: 'none' };
  // iptables shows the rules of its own tables only, and nothing of what nft or another program set.
  const own = ask('iptables', '-S');
  if (own === 'missing') return { kind: 'unknown', see: undefined };
  const others = own === 'refused' ? undefined : iptablesRules(own.text);
  return others === undefined ? { kind: 'unknown', see: 'sudo iptables -S' } : { kind: 'rules', ...others };
}
