/** A folder of its own for each test, and commands run in a process of their own. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';

export interface Folder {
  /** The path of a file in it. */
  path(name: string): string;
  write(name: string, bytes: Uint8Array | string): string;
  read(name: string): Uint8Array;
}

/** Made before each test, and taken away behind it. */
export function folderPerTest(): Folder {
  let root = '';
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'owimg-test-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
  const path = (name: string): string => join(root, name);
  return {
    path,
    write: (name, bytes) => {
      writeFileSync(path(name), bytes);
      return path(name);
    },
    read: (name) => new Uint8Array(readFileSync(path(name))),
  };
}

/** `owimg ARGS` with this on standard input; its standard output. */
export const owimgWithInput = (args: readonly string[], input: Uint8Array): Buffer =>
  execFileSync(process.execPath, ['--import', 'tsx', 'bin/owimg.ts', ...args], { input, stdio: ['pipe', 'pipe', 'pipe'] });
