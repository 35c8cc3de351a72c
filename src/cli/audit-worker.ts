/** A worker of `owimg audit`: reads one file after the other and sends back its record. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { formats } from '../../formats/index.ts';
import { type AuditRecord, auditImage, unreadRecord } from '../audit/image.ts';
import type { ListedImage } from '../audit/release.ts';
import { checkContext } from '../check.ts';
import { OwimgError } from '../core/errors.ts';
import { loadDeviceFacts } from '../devices/load.ts';
import { inspect } from '../index.ts';
import { readFile } from '../io/read-file.ts';
import type { Context } from '../routes/subject.ts';
import { AuditCache } from './audit-cache.ts';

export interface AuditJob {
  readonly number: number;
  /** From the folder given. */
  readonly path: string;
  readonly file: string;
  readonly listed: ListedImage | undefined;
  readonly hasList: boolean;
  readonly target: string | undefined;
  readonly deep: boolean;
  readonly cache: string | undefined;
}

export interface AuditAnswer {
  readonly number: number;
  readonly record: AuditRecord;
}

let loaded: Promise<Context> | undefined;

/** The facts and what is worked out from them, once for all files. */
function shared(): Promise<Context> {
  loaded ??= loadDeviceFacts().then((facts) => checkContext(formats, facts));
  return loaded;
}

async function audit(job: AuditJob): Promise<AuditRecord> {
  const { path, file, listed, hasList, target, deep } = job;
  try {
    const { bytes } = await readFile(file);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const context = await shared();
    const { facts } = context;
    const cache = job.cache === undefined ? undefined : new AuditCache(job.cache, facts.source, { sha256, path, listed, hasList, target, deep });
    const known = await cache?.read();
    if (known !== undefined) return known;
    const inspection = await inspect(bytes, { name: path, deep });
    const subject = { path, name: basename(path), length: bytes.length, sha256, inspection, listed, hasList, target };
    const record = auditImage(subject, context);
    await cache?.write(record);
    return record;
  } catch (error) {
    if (!(error instanceof OwimgError)) throw error;
    return unreadRecord(path, error.message);
  }
}

parentPort?.on('message', async (job: AuditJob) => {
  const answer: AuditAnswer = { number: job.number, record: await audit(job) };
  parentPort?.postMessage(answer);
});
