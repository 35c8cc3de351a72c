/** Ctrl-C and its relatives: what runs is told to end in good order; who asks twice gets an end at once. */
import { errorKinds } from '../core/errors.ts';
import { removeUnfinished } from '../io/write-file.ts';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs `work` with a signal that is aborted when the process is told to stop. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (): void => {
    if (controller.signal.aborted) {
      removeUnfinished();
      process.exit(errorKinds['transfer-interrupted'].exit);
    }
    controller.abort();
  };
  for (const signal of signals) process.on(signal, stop);
  try {
    return await work(controller.signal);
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
}
