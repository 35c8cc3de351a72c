/** The lists that a build of OpenWrt puts beside its images: `profiles.json` and `sha256sums`. */

/** What the lists say of one image. */
export interface ListedImage {
  readonly name: string;
  readonly sha256: string | undefined;
  /** Of the image before it was signed. */
  readonly sha256Unsigned?: string | undefined;
  /** In which list the digest stands. */
  readonly list: string;
  readonly profile: string | undefined;
  /** `sysupgrade`, `factory`, `kernel` ... as the build system calls it. */
  readonly type: string | undefined;
}

/** What one folder's lists say. */
export interface Release {
  readonly target: string | undefined;
  /** By file name. */
  readonly images: ReadonlyMap<string, ListedImage>;
  /** Lists that could not be read, and why. */
  readonly problems: readonly { readonly list: string; readonly reason: string }[];
}

export const profilesName = 'profiles.json';
export const digestsName = 'sha256sums';

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value);
const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** A name in a list is a file beside it, never a path to somewhere else. */
const isFileName = (name: string): boolean => name !== '' && !name.includes('/') && !name.includes('\\') && name !== '..' && name !== '.';

function readProfiles(text: string): { target: string | undefined; images: ListedImage[] } {
  const json: unknown = JSON.parse(text);
  if (!isObject(json) || !isObject(json['profiles'])) throw new Error('it has no "profiles"');
  const images: ListedImage[] = [];
  for (const [profile, value] of Object.entries(json['profiles'])) {
    if (!isObject(value)) throw new Error(`the profile ${profile} is not an object`);
    for (const image of Array.isArray(value['images']) ? value['images'] : []) {
      const name = isObject(image) ? textOf(image['name']) : undefined;
      if (name === undefined || !isFileName(name)) throw new Error(`an image of the profile ${profile} has no name that is a file name`);
      images.push({ name, sha256: textOf(image.sha256), sha256Unsigned: textOf(image.sha256_unsigned), list: profilesName, profile, type: textOf(image.type) });
    }
  }
  return { target: textOf(json['target']), images };
}

/** Lines of `sha256sum`: 64 digits, a blank, a blank or an asterisk, the name. */
function readDigests(text: string): ListedImage[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    if (line.trim() === '') return [];
    const match = /^\\?([0-9a-f]{64}) [ *](.+)$/i.exec(line);
    if (match === null) throw new Error(`line ${index + 1} is not a digest and a name`);
    const name = (match[2] as string).replace(/^\.\//, '');
    return [{ name, sha256: (match[1] as string).toLowerCase(), list: digestsName, profile: undefined, type: undefined }];
  });
}

/** Reads what is there; `undefined` for a list that is not. */
export function readRelease(profiles: string | undefined, digests: string | undefined): Release {
  const images = new Map<string, ListedImage>();
  const problems: { list: string; reason: string }[] = [];
  const attempt = (list: string, read: () => void): void => {
    try {
      read();
    } catch (error) {
      problems.push({ list, reason: (error as Error).message });
    }
  };
  let target: string | undefined;
  attempt(digestsName, () => {
    for (const image of digests === undefined ? [] : readDigests(digests)) images.set(image.name, image);
  });
  attempt(profilesName, () => {
    if (profiles === undefined) return;
    const read = readProfiles(profiles);
    target = read.target;
    for (const image of read.images) images.set(image.name, { ...image, sha256: image.sha256 ?? images.get(image.name)?.sha256 });
  });
  return { target, images, problems };
}
