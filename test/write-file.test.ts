/** Results on disk: whole or not there. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { OwimgError } from '../src/core/errors.ts';
import { GrowingFile, requireWritable, writeFile } from '../src/io/write-file.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'owimg-write-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const bytes = Uint8Array.of(1, 2, 3);

describe('writeFile()', () => {
  test('writes a new file, and nothing else is in the folder afterwards', async () => {
    await writeFile(join(folder, 'out.bin'), bytes);
    expect(readdirSync(folder)).toEqual(['out.bin']);
    expect(readFileSync(join(folder, 'out.bin'))).toEqual(Buffer.from(bytes));
  });

  test('keeps a file that is there, and replaces it only with force', async () => {
    const path = join(folder, 'out.bin');
    writeFileSync(path, 'mine');
    await expect(writeFile(path, bytes)).rejects.toThrow('it exists, and is kept');
    expect(readFileSync(path, 'utf8')).toBe('mine');
    await writeFile(path, bytes, true);
    expect(readFileSync(path)).toEqual(Buffer.from(bytes));
    expect(readdirSync(folder)).toEqual(['out.bin']);
  });

  test('gives verify what is on the disk, and keeps nothing that it refuses', async () => {
    const path = join(folder, 'out.bin');
    writeFileSync(path, 'mine');
    let seen: Uint8Array | undefined;
    const refuse = async (written: Uint8Array): Promise<void> => {
      seen = written;
      throw new OwimgError('result-wrong', 'no good');
    };
    await expect(writeFile(path, bytes, true, refuse)).rejects.toThrow('no good');
    expect(seen).toEqual(bytes);
    expect(readFileSync(path, 'utf8')).toBe('mine');
    expect(readdirSync(folder)).toEqual(['out.bin']);
  });

  test('says that the folder does not exist, and that a folder is no file', async () => {
    await expect(writeFile(join(folder, 'no', 'out.bin'), bytes)).rejects.toThrow('its folder does not exist');
    mkdirSync(join(folder, 'sub'));
    await expect(writeFile(join(folder, 'sub'), bytes, true)).rejects.toThrow('it is a directory');
    expect(readdirSync(folder)).toEqual(['sub']);
  });

  test.skipIf(process.getuid?.() === 0)('says that the folder may not be written', async () => {
    chmodSync(folder, 0o500);
    await expect(writeFile(join(folder, 'out.bin'), bytes)).rejects.toThrow('permission denied');
  });
});

describe('requireWritable()', () => {
  test('refuses beforehand what writeFile() would refuse', async () => {
    writeFileSync(join(folder, 'out.bin'), 'mine');
    await expect(requireWritable(join(folder, 'out.bin'), false)).rejects.toThrow('it exists, and is kept');
    await expect(requireWritable(join(folder, 'out.bin'), true)).resolves.toBeUndefined();
    await expect(requireWritable(folder, true)).rejects.toThrow('it is a directory');
    await expect(requireWritable(join(folder, 'no', 'out.bin'), false)).rejects.toThrow(`the folder "${join(folder, 'no')}" does not exist`);
    await expect(requireWritable(join(folder, 'out.bin', 'x'), false)).rejects.toThrow('a part of the path is not a directory');
  });
});

test('an interrupt while a file is written leaves the old one, no temporary one, and exit status 130', async () => {
  const path = join(folder, 'out.bin');
  writeFileSync(path, 'mine');
  const module = fileURLToPath(new URL('../src/io/write-file.ts', import.meta.url));
  const program = `
    import { removeUnfinished, writeFile } from ${JSON.stringify(module)};
    process.once('SIGINT', () => { removeUnfinished(); process.exit(130); });
    await writeFile(${JSON.stringify(path)}, new Uint8Array(64), true, () => { process.stdout.write('verifying'); return new Promise((resolve) => setTimeout(resolve, 60_000)); });`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const status = await new Promise((resolve) => {
    child.stdout.once('data', () => {
      expect(readdirSync(folder).length).toBe(2);
      child.kill('SIGINT');
    });
    child.once('exit', resolve);
  });
  expect(status).toBe(130);
  expect(readdirSync(folder)).toEqual(['out.bin']);
  expect(readFileSync(path, 'utf8')).toBe('mine');
});

describe('requireWritable()', () => {
  test('does not put a file in the place of a device', async () => {
    await expect(requireWritable('/dev/null', true)).rejects.toThrow('it is no regular file');
  });
});

describe('GrowingFile', () => {
  const parts = [1, 0, 512, 32 * 1024, 32 * 1024 - 1, 2, 100_000].map((length, index) => new Uint8Array(length).fill(index + 1));
  const whole = Buffer.concat(parts);

  test('has its name and all its bytes once it is kept, and nothing before', async () => {
    const path = join(folder, 'out.bin');
    const file = new GrowingFile(path);
    for (const part of parts) file.add(part);
    expect(readdirSync(folder)).not.toContain('out.bin');
    expect(await file.keep(false)).toBe(createHash('sha256').update(whole).digest('hex'));
    expect(file.length).toBe(whole.length);
    expect(readFileSync(path).equals(whole)).toBe(true);
    expect(readdirSync(folder)).toEqual(['out.bin']);
  });

  test('leaves nothing behind when it is discarded', () => {
    const file = new GrowingFile(join(folder, 'out.bin'));
    for (const part of parts) file.add(part);
    file.discard();
    expect(readdirSync(folder)).toEqual([]);
    expect(() => file.add(new Uint8Array(100_000))).toThrow();
  });

  test('keeps what is there already, unless forced', async () => {
    const path = join(folder, 'out.bin');
    const file = new GrowingFile(path);
    file.add(bytes);
    writeFileSync(path, 'mine');
    await expect(file.keep(false)).rejects.toThrow('it exists, and is kept');
    expect(readFileSync(path, 'utf8')).toBe('mine');
    expect(readdirSync(folder)).toEqual(['out.bin']);
    const other = new GrowingFile(path);
    other.add(bytes);
    await other.keep(true);
    expect(readFileSync(path)).toEqual(Buffer.from(bytes));
  });

  test('says at once that it cannot be written', () => {
    expect(() => new GrowingFile(join(folder, 'no', 'out.bin'))).toThrow('its folder does not exist');
  });
});
