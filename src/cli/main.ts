/** The command line: commands in, exit status out. The only importer of commander beside the commands. */
import { Command, CommanderError } from '@commander-js/extra-typings';
import { errorKinds, OwimgError } from '../core/errors.ts';
import { version } from '../version.ts';
import { addAudit } from './audit.ts';
import { addCheck } from './check.ts';
import { type Console, sayError } from './console.ts';
import { addConvert } from './convert.ts';
import { addDevices } from './devices.ts';
import { addDoctor } from './doctor.ts';
import { addExplain } from './explain.ts';
import { addExtract } from './extract.ts';
import { addFlash } from './flash.ts';
import { addFormats } from './formats.ts';
import { addInspect } from './inspect.ts';
import { spreadLists } from './lists.ts';
import { addMetadata } from './metadata.ts';
import { addServe } from './serve.ts';
import { addStrip } from './strip.ts';
import { addTftp } from './tftp.ts';
import { addWrap } from './wrap.ts';

/**
 * Runs one command.
 *
 * @param args what follows the program's name
 * @returns the exit status, see the README
 */
export async function main(args: readonly string[], io: Console): Promise<number> {
  let status = 0;
  const done = (value: number): void => {
    status = value;
  };
  const program = new Command('owimg')
    .description('Know before you flash: what a router firmware image is, and whether every byte of it is right.')
    .version(version, '--version')
    .helpOption('-h, --help')
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => io.err(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'owimg: ')),
    })
    .configureHelp({ helpWidth: io.columns })
    .showHelpAfterError('See owimg --help.')
    .exitOverride();
  addInspect(program as unknown as Command, io, done);
  addAudit(program as unknown as Command, io, done);
  addCheck(program as unknown as Command, io, done);
  addConvert(program as unknown as Command, io, done);
  addStrip(program as unknown as Command, io, done);
  addExtract(program as unknown as Command, io, done);
  addWrap(program as unknown as Command, io, done);
  addMetadata(program as unknown as Command, io, done);
  addExplain(program as unknown as Command, io, done);
  addDevices(program as unknown as Command, io, done);
  addFormats(program as unknown as Command, io, done);
  addFlash(program as unknown as Command, io, done);
  addDoctor(program as unknown as Command, io, done);
  addServe(program as unknown as Command, io, done);
  addTftp(program as unknown as Command, io, done);
  for (const command of program.commands) command.copyInheritedSettings(program as unknown as typeof command);
  try {
    await program.parseAsync(spreadLists(args), { from: 'user' });
    return status;
  } catch (error) {
    // Help and version are "errors" of commander with exit code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : errorKinds['bad-usage'].exit;
    if (!(error instanceof OwimgError)) throw error;
    sayError(io, error);
    return errorKinds[error.code].exit;
  }
}
