/** Whether the rules of a Linux firewall drop or refuse something that comes in. Whether they would do so with our packets, nobody can tell without being the kernel. Pure. */
import type { FilterRules } from './host.ts';

/** Statements of a chain; a base chain is asked by the kernel itself. */
interface Chain {
  readonly incoming: boolean;
  readonly drops: boolean;
  /** Where it hands packets on to. */
  readonly next: readonly string[];
}

/** From the chains that see what comes in, along all jumps, to one that drops. @returns the name of the chain where it begins */
function firstThatDrops(chains: ReadonlyMap<string, Chain>): string | undefined {
  for (const [first, { incoming }] of chains) {
    if (!incoming) continue;
    const seen = new Set([first]);
    // A set that grows while it is walked hands out what was added.
    for (const name of seen) {
      const chain = chains.get(name);
      if (chain?.drops === true) return first;
      for (const next of chain?.next ?? []) seen.add(next);
    }
  }
  return undefined;
}

/** What stands in quotation marks are comments and prefixes for a log. */
const unquoted = (text: string): string => text.replaceAll(/"[^"]*"/g, '""');

/** @param ruleset the output of `nft list ruleset` */
export function nftRules(ruleset: string): FilterRules | undefined {
  // Tables stand at the beginning of a line, and what they hold is indented once.
  for (const [, family, table, body = ''] of ruleset.matchAll(/^table (\S+) (\S+) \{[^\n]*\n([\s\S]*?)^\}/gm)) {
    const chains = new Map<string, Chain>();
    for (const [, name = '', rules = ''] of body.matchAll(/^\tchain (\S+) \{[^\n]*\n([\s\S]*?)^\t\}/gm)) {
      const text = unquoted(rules);
      chains.set(name, {
        incoming: /^\s*type \S+ hook (?:ingress|prerouting|input)\b/m.test(text),
        // What iptables has and nftables has not stands there as iptables calls it.
        drops: /\b(?:drop|reject)\b/.test(text) || /\bxt target "?(?:DROP|REJECT)\b/.test(rules),
        next: [...text.matchAll(/\b(?:jump|goto) ([\w./-]+)/g)].map(([, next = '']) => next),
      });
    }
    const chain = firstThatDrops(chains);
    // The rules of iptables, carried out by nftables, are to be changed by iptables only.
    if (chain !== undefined)
      return { by: /^ip6? filter INPUT$/.test(`${family} ${table} ${chain}`) ? 'iptables' : 'nft', chain: `${family} ${table} ${chain}` };
  }
  return undefined;
}

/** @param rules the output of `iptables -S` */
export function iptablesRules(rules: string): FilterRules | undefined {
  const lines = rules.split('\n').map(unquoted);
  const names = new Set(lines.flatMap((line) => /^-[PN] (\S+)/.exec(line)?.[1] ?? []));
  const chains = new Map<string, Chain>();
  for (const name of names) {
    const own = lines.filter((line) => line.startsWith(`-A ${name} `));
    const targets = own.flatMap((line) => /\s-[jg] (\S+)/.exec(line)?.[1] ?? []);
    chains.set(name, {
      incoming: name === 'INPUT',
      drops: lines.includes(`-P ${name} DROP`) || targets.some((target) => target === 'DROP' || target === 'REJECT'),
      next: targets,
    });
  }
  return firstThatDrops(chains) === undefined ? undefined : { by: 'iptables', chain: 'ip filter INPUT' };
}
