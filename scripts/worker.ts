/** Workers from TypeScript: the loader that runs this script is not there in a worker by itself. */
import { Worker } from 'node:worker_threads';

/** Starts the module at `url` in a worker, with `data` as its `workerData`. */
export function startWorker(url: string, data: unknown): Worker {
  const code = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(url)}); })`;
  return new Worker(code, { eval: true, workerData: data });
}
