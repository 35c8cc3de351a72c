/** Networks that a test makes for itself and takes away again: namespaces of Linux with cables between them. Nothing leaves them. Needs root. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { attempt, installed, run } from './tools.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const environment = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin`, LC_ALL: 'C' };

/** Why it cannot be done here; `undefined` if it can. */
export function namespacesMissing(): string | undefined {
  if (!installed('ip')) return 'ip (iproute2) is not installed';
  const name = `owimg-try-${process.pid}`;
  if (!attempt('ip', 'netns', 'add', name).ok) return 'network namespaces are not permitted';
  const cable = attempt('ip', '-n', name, 'link', 'add', 'name', 'a', 'type', 'veth', 'peer', 'name', 'b').ok;
  attempt('ip', 'netns', 'del', name);
  return cable ? undefined : 'virtual cables are not permitted';
}

export interface Running {
  readonly child: ChildProcess;
  /** All that it has written. */
  readonly out: () => string;
  readonly err: () => string;
  /** Its exit status. */
  readonly ended: Promise<number | null>;
  /** Waits until it has written something, on either stream; fails when it ends without. */
  until(text: string): Promise<void>;
}

let counter = 0;

export class Namespace {
  readonly name: string;
  readonly #running = new Set<ChildProcess>();

  constructor() {
    counter += 1;
    this.name = `owimg-${process.pid}-${counter}`;
    run('ip', 'netns', 'add', this.name);
    this.ip('link', 'set', 'lo', 'up');
  }

  /** `ip` in it. */
  ip(...parts: string[]): string {
    return run('ip', '-n', this.name, ...parts);
  }

  /** A cable from `name` here to `otherName` there, both up. */
  cable(name: string, other: Namespace, otherName: string): void {
    this.ip('link', 'add', 'name', name, 'type', 'veth', 'peer', 'name', otherName, 'netns', other.name);
    this.ip('link', 'set', name, 'up');
    other.ip('link', 'set', otherName, 'up');
  }

  /** Waits until its own end of a cable has noticed that the other one is down: Linux takes up to a second. */
  async cableOut(name: string): Promise<void> {
    while (this.ip('-o', 'link', 'show', 'dev', name).includes('state UP')) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  start(program: string, ...parts: string[]): Running {
    const child = spawn('ip', ['netns', 'exec', this.name, program, ...parts], { cwd: root, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#running.add(child);
    const written = { out: '', err: '' };
    const waiting = new Set<() => void>();
    const wake = (): void => {
      for (const look of [...waiting]) look();
    };
    child.stdout.on('data', (data: Buffer) => {
      written.out += data.toString();
      wake();
    });
    child.stderr.on('data', (data: Buffer) => {
      written.err += data.toString();
      wake();
    });
    let status: number | null | undefined;
    const ended = new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => {
        status = code;
        this.#running.delete(child);
        resolve(code);
        wake();
      });
    });
    const until = (text: string): Promise<void> =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (written.out.includes(text) || written.err.includes(text)) resolve();
          else if (status !== undefined) reject(new Error(`${program} ended with ${status} and never said "${text}":\n${written.out}\n${written.err}`));
          else return;
          waiting.delete(look);
        };
        waiting.add(look);
        look();
      });
    return { child, out: () => written.out, err: () => written.err, ended, until };
  }

  /** Runs it to its end. @returns what it wrote to both streams, and its exit status */
  async run(program: string, ...parts: string[]): Promise<{ readonly status: number | null; readonly said: string }> {
    const { ended, out, err } = this.start(program, ...parts);
    const status = await ended;
    return { status, said: `${out()}${err()}` };
  }

  /** Ends what runs in it, and takes it away with its cables. */
  async remove(): Promise<void> {
    const ending = [...this.#running].map((child) => new Promise((resolve) => child.once('close', resolve)));
    // `ip netns exec` becomes the program that it starts, so this is the program itself.
    for (const child of this.#running) child.kill('SIGKILL');
    await Promise.all(ending);
    attempt('ip', 'netns', 'del', this.name);
  }
}
