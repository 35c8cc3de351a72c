#!/usr/bin/env node
import { systemConsole } from '../src/cli/console.ts';
import { main } from '../src/cli/main.ts';

process.exitCode = await main(process.argv.slice(2), systemConsole());
