/** The only error class. Damage in an image is never an error: that is a finding. */

/** Exit statuses of the command line: the README lists what they mean. */
export const errorKinds = {
  'bad-usage': { exit: 2, hint: 'See owimg --help.', why: 'The command line was not understood, so nothing was read or done.' },
  'member-needed': {
    exit: 2,
    hint: 'Choose one with --member NAME.',
    why: 'An archive holds several firmware files, and owimg does not guess which one is meant.',
  },
  'device-ambiguous': { exit: 2, hint: 'Name one of them: owimg devices lists them.', why: 'Several devices fit the name, and they take different images.' },
  'device-unknown': {
    exit: 3,
    hint: 'owimg devices WORDS searches for one.',
    why: 'Whether an image fits can only be told for a device that is known. Never read this as good.',
  },
  'unknown-format': { exit: 3, hint: 'owimg formats lists what owimg reads.', why: 'What owimg does not recognise it cannot check. Never read this as good.' },
  'cannot-read': { exit: 4, hint: 'Check the path and its permissions.', why: 'The file, or what was to come from standard input, could not be read.' },
  'cannot-write': {
    exit: 4,
    hint: 'Check the path, its permissions and the free space.',
    why: 'The result could not be written; no half file is left behind.',
  },
  'file-too-large': { exit: 4, hint: 'No router image is that large. Is this the right file?', why: 'Files are read into memory, so there is a limit.' },
  'image-ambiguous': {
    exit: 2,
    hint: 'Choose one with --image NAME.',
    why: 'OpenWrt builds several images of this kind for the device (regions, slots), and only the owner of the device knows which one fits.',
  },
  'part-missing': {
    exit: 2,
    hint: 'Give it with --part NAME=FILE.',
    why: 'The image that was asked for holds something that is not in the one that was given: a loader, an initramfs kernel.',
  },
  'step-unknown': {
    exit: 3,
    hint: 'Download the image from the release instead: owimg devices NAME says what it is called.',
    why: 'OpenWrt makes the image with a tool that owimg cannot do yet. Never take another image for it.',
  },
  'input-refused': {
    exit: 1,
    hint: 'Download it again and compare it with the sha256sums of the release.',
    why: 'A broken image, or one for another device, is never converted: the result would look right and brick the device.',
  },
  'conversion-impossible': {
    exit: 1,
    hint: 'Download the image from the release instead: owimg devices NAME says what it is called.',
    why: 'One image cannot be made from the other: something is in one of them that the other lacks, or it does not fit.',
  },
  'result-wrong': {
    exit: 1,
    hint: 'Nothing was written. Please report this with the name of the file and of the device.',
    why: 'What was made did not pass the checks that every image has to pass, so it was thrown away.',
  },
  'cannot-listen': {
    exit: 4,
    hint: 'Choose another address or port with --bind and --port.',
    why: 'The UDP port could not be opened, so nobody can be answered.',
  },
  'another-server': {
    exit: 4,
    hint: 'Connect the device to this network card alone, without the router or switch that leads to the other server; or stop that server.',
    why: 'Two DHCP servers on one network give wrong addresses, also to devices of other people.',
  },
  'cannot-reach': {
    exit: 4,
    hint: 'Is the cable in, is the address right, is the device in its boot loader?',
    why: 'Nobody answered, or the answer was no: nothing was transferred.',
  },
  'transfer-failed': {
    exit: 5,
    hint: 'Try again. What has arrived so far is not kept.',
    why: 'The transfer began and did not come to its end.',
  },
  'recovery-unknown': {
    exit: 3,
    hint: 'If you know it: --as client --router ADDRESS (the device waits for the file), --as server --host ADDRESS (it fetches the file), or --bootp --dhcp --interface CARD (it asks for an address first).',
    why: 'How the boot loader takes an image is not recorded, neither of the device nor of its relatives, so there is no plan. Nothing was sent.',
  },
  'verdict-unknown': {
    exit: 3,
    hint: 'owimg check FILE --device D --route tftp says why. If you know better: --accept verdict-unknown.',
    why: 'Whether the boot loader takes the image cannot be told, and what cannot be told is never sent.',
  },
  'not-confirmed': {
    exit: 2,
    hint: 'Read the plan (--dry-run), then add --yes.',
    why: 'A flash is written only when somebody has said so, and a guess only when somebody has confirmed it. Nothing was sent.',
  },
  'host-not-ready': {
    exit: 4,
    hint: 'owimg doctor says what is missing, and what to type.',
    why: 'This computer cannot reach the device, or cannot be reached by it. Nothing was sent.',
  },
  'other-system': {
    exit: 6,
    hint: 'Look at the device before you try again: a console log tells most (--serial-log).',
    why: 'All was sent, but what runs afterwards is not what was sent, or the device asked for it again.',
  },
  'not-verified': {
    exit: 7,
    hint: 'Compare the release yourself: ssh root@192.168.1.1 cat /etc/openwrt_release.',
    why: 'All was sent, and nobody could find out what came of it. It may well have worked.',
  },
  'transfer-interrupted': { exit: 130, hint: 'The other side was told.', why: 'Somebody stopped it.' },
  'bad-value': { exit: 2, hint: 'Give a value in the range that the message names.', why: 'An option was given a value that it does not take.' },
} as const satisfies Record<string, { exit: number; hint: string; why: string }>;

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
