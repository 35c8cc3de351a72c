/** Paths as archives carry them. Nothing here touches a file system: unsafe paths are only named. */

const absolute = /^(?:[/\\]|[A-Za-z]:)/;

/** The parts of a path; archives made on Windows separate them with `\`. */
function parts(path: string): string[] {
  return path.split(/[/\\]/).filter((part) => part !== '' && part !== '.');
}

/** A name without the control characters that would reach a terminal. */
export function visible(name: string): string {
  return name.replaceAll(/\p{Cc}|\p{Cf}/gu, (character) => `\\u{${(character.codePointAt(0) as number).toString(16)}}`);
}

/** Why nobody should unpack a member of this name; `undefined` if it stays inside of its folder. */
export function unsafePath(path: string): string | undefined {
  if (absolute.test(path)) return 'has an absolute path';
  return parts(path).includes('..') ? 'leads out of its folder' : undefined;
}

/** Why a link from `path` to `target` is unsafe; `undefined` if it stays inside of the archive. */
export function unsafeLink(path: string, target: string): string | undefined {
  if (absolute.test(target)) return `is a link to the absolute path "${target}"`;
  let depth = parts(path).length - 1;
  for (const part of parts(target)) {
    depth += part === '..' ? -1 : 1;
    if (depth < 0) return `is a link to "${target}", outside of the archive`;
  }
  return undefined;
}
