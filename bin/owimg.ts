#!/usr/bin/env node
import { systemConsole } from '../src/cli/console.ts';
import { main } from '../src/cli/main.ts';
import { removeUnfinished } from '../src/io/write-file.ts';

const interrupted = 130;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    // A transfer ends in good order by itself.
    if (process.listenerCount(signal) > 0) return;
    removeUnfinished();
    process.exit(interrupted);
  });
}

process.exitCode = await main(process.argv.slice(2), systemConsole());
