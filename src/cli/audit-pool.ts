/** The workers of `owimg audit`. Loaded when it is needed: the worker's file lies beside this one in the package. */
import { Worker } from 'node:worker_threads';
import type { AuditRecord } from '../audit/image.ts';
import type { AuditAnswer, AuditJob } from './audit-worker.ts';

const workerUrl = new URL('./audit-worker.js', import.meta.url);

/** Gives the jobs to as many workers as there are cores; the records come back in the order of the jobs. */
export async function runJobs(jobs: readonly AuditJob[], workers: number, onRecord: (record: AuditRecord, done: number) => void): Promise<AuditRecord[]> {
  const records: (AuditRecord | undefined)[] = new Array(jobs.length);
  let [next, done, reported] = [0, 0, 0];
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(workerUrl);
      const give = (): void => {
        const job = jobs[next];
        next += 1;
        if (job !== undefined) worker.postMessage(job);
        else void worker.terminate().then(() => resolve());
      };
      worker.on('message', ({ number, record }: AuditAnswer) => {
        records[number] = record;
        done += 1;
        for (; records[reported] !== undefined; reported += 1) onRecord(records[reported] as AuditRecord, done);
        give();
      });
      worker.on('error', reject);
      give();
    });
  await Promise.all(Array.from({ length: Math.min(workers, jobs.length) }, work));
  return records as AuditRecord[];
}
