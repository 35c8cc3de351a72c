/** The only error class. Damage in an image is never an error: that is a finding. */

/** Exit statuses of the command line: the README lists what they mean. */
export const errorKinds = {
  'bad-usage': { exit: 2, hint: 'See owimg --help.' },
  'member-needed': { exit: 2, hint: 'Name one of them with --member NAME.' },
  'device-ambiguous': { exit: 2, hint: 'Name one of them: owimg devices lists them.' },
  'device-unknown': { exit: 3, hint: 'owimg devices WORDS searches for one.' },
  'unknown-format': { exit: 3, hint: 'owimg formats lists what owimg reads.' },
  'cannot-read': { exit: 4, hint: 'Check the path and its permissions.' },
  'cannot-write': { exit: 4, hint: 'Check the path, its permissions and the free space.' },
  'file-too-large': { exit: 4, hint: 'No router image is that large. Is this the right file?' },
  'bad-value': { exit: 2, hint: 'Give a value in the range that the message names.' },
} as const satisfies Record<string, { exit: number; hint: string }>;

export type ErrorCode = keyof typeof errorKinds;

/**
 * @example
 * throw new OwimgError('cannot-read', 'Cannot read "fw.bin": it is a directory');
 */
export class OwimgError extends Error {
  override readonly name = 'OwimgError';
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, hint: string = errorKinds[code].hint) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}
