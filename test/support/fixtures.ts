/** Finds the fixtures: a folder a format, and what a file's name says must come out. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../fixtures/', import.meta.url));

export interface Fixture {
  /** Folder, which is the format's id. */
  readonly format: string;
  readonly file: string;
  readonly path: string;
  /** The finding code in the name; `undefined` for a sound one. */
  readonly code: string | undefined;
}

export const fixtureFolders: readonly string[] = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
  .sort();

export const fixtures: readonly Fixture[] = fixtureFolders.flatMap((format) =>
  readdirSync(`${root}${format}`)
    .filter((file) => !file.endsWith('.json') && file !== 'README.md')
    .sort()
    .map((file) => ({ format, file, path: `${root}${format}/${file}`, code: /^(.+?)--/.exec(file)?.[1] })),
);

export const fixtureReadme = (format: string): string => readFileSync(`${root}${format}/README.md`, 'utf8');

export function readFixture(fixture: Pick<Fixture, 'path'>): Uint8Array {
  return new Uint8Array(readFileSync(fixture.path));
}

/** A fixture by folder and file, as `uimage/sound-lzma.bin`. */
export const readFixtureFile = (name: string): Uint8Array => readFixture({ path: `${root}${name}` });
