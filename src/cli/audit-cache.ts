/** Records of images that were audited before, by what they are and what was asked: a file each, in a folder. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditRecord } from '../audit/image.ts';
import { version } from '../version.ts';

export class AuditCache {
  readonly #folder: string;
  readonly #path: string;

  /** @param question everything that the record depends on, the content's digest first of all */
  constructor(folder: string, facts: string, question: object) {
    this.#folder = folder;
    const key = createHash('sha256')
      .update(JSON.stringify([version, facts, question]))
      .digest('hex');
    this.#path = join(folder, `${key}.json`);
  }

  async read(): Promise<AuditRecord | undefined> {
    try {
      return JSON.parse(await readFile(this.#path, 'utf8')) as AuditRecord;
    } catch {
      // Not there, or half written by a machine that lost power: it is made again.
      return undefined;
    }
  }

  async write(record: AuditRecord): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const temporary = `${this.#path}.${process.pid}.tmp`;
    await writeFile(temporary, JSON.stringify(record));
    await rename(temporary, this.#path);
  }
}
