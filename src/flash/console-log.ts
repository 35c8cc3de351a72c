/** What a console log says came of it: the last word that decides. Pure. */
import { type ExplainedMessage, explain } from '../explain/explain.ts';
import type { Stage } from '../explain/messages.ts';

export interface ConsoleReading {
  /** `booted`: the system runs. `starting`: the loader took it and handed over. `failed`: something refused it. `nothing`: nothing that owimg knows. */
  readonly outcome: 'booted' | 'starting' | 'failed' | 'nothing';
  /** The line that says so. */
  readonly line: string | undefined;
  /** What it means; for failures. */
  readonly message: ExplainedMessage | undefined;
}

const good: readonly (readonly ['booted' | 'starting', RegExp])[] = [
  ['booted', /please press enter to activate this console|procd: - init complete -/i],
  [
    'starting',
    /^\W*starting kernel|## booting (?:kernel|image)|verifying checksum \.+ *ok|transferring control to linux|booting linux on|linux version \d|hash\(es\) for .*\+/i,
  ],
];

const bad: ReadonlySet<Stage> = new Set(['does-not-start', 'write-stopped', 'where-it-appears']);

/** Loaders say these while they wait for somebody; it is no end. */
const notYet: ReadonlySet<string> = new Set(['tftp-gave-up', 'tftp-addresses', 'tftp-client-timeout', 'tftp-netascii']);

const speakers: ReadonlySet<string> = new Set(['u-boot', 'cfe', 'redboot', 'linux', 'tp-link', 'netgear', 'vendor']);

/** What a loader says when it is asked to look at an image, or to put it where it lives itself. */
const refusals: ReadonlySet<string> = new Set(['iminfo-unknown', 'bootz-booti', 'ramdisk', 'tftp-reserved-memory']);

const failure = ({ id, stage, saidBy, codes }: ExplainedMessage): boolean =>
  refusals.has(id) || (!notYet.has(id) && speakers.has(saidBy.id) && (bad.has(stage.id) || (stage.id === 'nothing-written' && codes.length > 0)));

/**
 * @example
 * readConsole('Wrong Image Format for bootm command').outcome //=> 'failed'
 */
export function readConsole(log: string): ConsoleReading {
  let last: { line: number; reading: ConsoleReading } = { line: 0, reading: { outcome: 'nothing', line: undefined, message: undefined } };
  const lines = log.split(/\r\n?|\n/);
  for (const [index, line] of lines.entries()) {
    const [outcome] = good.find(([, pattern]) => pattern.test(line)) ?? [];
    // What was only handed over may still fail; what has booted outweighs that.
    if (outcome !== undefined) last = { line: index + 1, reading: { outcome, line: line.trim(), message: undefined } };
  }
  for (const entry of explain(log)) {
    if (entry.what !== 'message' || !failure(entry)) continue;
    const line = lastLine(lines, entry);
    if (line >= last.line) last = { line, reading: { outcome: 'failed', line: entry.text, message: entry } };
  }
  return last.reading;
}

/** Each message is explained once, where it stands first; what decides is where it stands last. */
function lastLine(lines: readonly string[], { text, line, times }: ExplainedMessage): number {
  if (times === 1) return line;
  const found = lines.findLastIndex((other) => other.replaceAll(/\s+/g, ' ').trim() === text);
  return found === -1 ? line : found + 1;
}
