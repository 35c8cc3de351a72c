/**
 * Every finding that owimg can make: its code, how bad it is, what it says, what to do.
 *
 * A code is kebab-case, noun first, and never changes once released; the words may. Formats and the engine
 * choose a code and give its arguments; the sentences are made here and nowhere else.
 */
import { bytesText, hexBytes, hexOffset, printable } from './hex.ts';
import type { Range, Severity } from './types.ts';

type Arguments = Readonly<Record<string, string | number>>;

interface FindingKind<A extends Arguments> {
  readonly severity: Severity;
  readonly title: string;
  readonly message: (args: A) => string;
  readonly hint?: string;
}

function kind<A extends Arguments>(severity: Severity, title: string, message: (args: A) => string, hint?: string): FindingKind<A> {
  return hint === undefined ? { severity, title, message } : { severity, title, message, hint };
}

interface Mismatch extends Record<string, string> {
  name: string;
  algorithm: string;
  expected: string;
  actual: string;
}

/** `1 byte is`, `2 bytes are`. */
const number = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

const nobodyUnderstands = (a: { length: number; found: string }): string =>
  a.length === 1 ? `Nobody understands this byte: ${a.found}` : `Nobody understands these ${a.length} bytes; they begin with ${a.found}`;

const again = 'Download or build the file again and compare its SHA-256 with the published one.';

const mismatch = (what: string) => (args: Mismatch) =>
  `The ${what} is wrong: ${args.name} (${args.algorithm}) should be ${args.expected} but the bytes give ${args.actual}`;

export const findingKinds = {
  'header-checksum-mismatch': kind<Mismatch>(
    'error',
    'Header checksum is wrong',
    mismatch('header checksum'),
    `The header was damaged, or edited without a new checksum. Do not flash it. ${again}`,
  ),
  'data-checksum-mismatch': kind<Mismatch>(
    'error',
    'Data checksum is wrong',
    mismatch('checksum over the data'),
    `The data is damaged or incomplete; a boot loader that checks it will not boot it. Do not flash it. ${again}`,
  ),
  'image-checksum-mismatch': kind<Mismatch>(
    'error',
    'Image checksum is wrong',
    mismatch('checksum over the image'),
    `The image is damaged or incomplete; the vendor's upgrade will refuse it. Do not flash it. ${again}`,
  ),
  'kernel-checksum-mismatch': kind<Mismatch>(
    'error',
    'Kernel checksum is wrong',
    mismatch('checksum over the kernel'),
    `The kernel is damaged. Do not flash it. ${again}`,
  ),
  'rootfs-checksum-mismatch': kind<Mismatch>(
    'error',
    'Root file system checksum is wrong',
    mismatch('checksum over the root file system'),
    `The root file system is damaged. Do not flash it. ${again}`,
  ),
  'metadata-checksum-mismatch': kind<Mismatch>(
    'error',
    'Metadata checksum is wrong',
    mismatch('checksum of the appended metadata'),
    `The checksum covers the whole image in front of it, so any changed byte breaks it. OpenWrt will say "Image metadata not present". ${again}`,
  ),
  'hash-mismatch': kind<Mismatch>('error', 'A FIT hash is wrong', mismatch('hash'), `U-Boot will say "Bad Data Hash" and not boot. Do not flash it. ${again}`),
  'length-beyond-end': kind<{ field: string; claimed: number; available: number; missing: number }>(
    'error',
    'A length reaches beyond the end',
    (a) =>
      `Cannot read all of ${a.field}: it should have ${bytesText(a.claimed)} but only ${number(a.available, 'is', 'are')} left, ${number(a.missing, 'is', 'are')} missing`,
    `The file is cut off, or the length is damaged. ${again}`,
  ),
  'length-understated': kind<{ field: string; claimed: number; actual: number }>(
    'note',
    'A length is shorter than what its checksum covers',
    (a) => `${a.field} says ${a.claimed} bytes, but the checksum is right over ${a.actual}`,
    'The tool that made the image does so. A boot loader that computes the checksum over the length that is given will refuse it.',
  ),
  'header-truncated': kind<{ what: string; length: number; available: number }>(
    'error',
    'The file ends inside a header',
    (a) => `Cannot read ${a.what} of ${bytesText(a.length)}: only ${number(a.available, 'is', 'are')} left`,
    `The file is cut off. ${again}`,
  ),
  'structure-invalid': kind<{ what: string; expected: string; actual: string | number }>(
    'error',
    'A value contradicts the format',
    (a) => `The ${a.what} is not possible: expected ${a.expected}, found ${a.actual}`,
    `The header is damaged or was made by a broken tool. Do not flash it. ${again}`,
  ),
  'magic-damaged': kind<{ what: string; expected: string; actual: string }>(
    'error',
    'A magic number is wrong',
    (a) => `The magic number of ${a.what} is wrong: expected ${a.expected}, found ${a.actual}, while all that follows fits`,
    'Whatever reads it on the device (a boot loader, sysupgrade, the vendor page) will not recognise it; U-Boot says "Bad Magic Number". The file is damaged or its bytes were swapped. Do not flash it.',
  ),
  'magic-unusual': kind<{ what: string; actual: string }>(
    'warning',
    'An unusual magic number',
    (a) => `The magic number of ${a.what} is ${a.actual}, which OpenWrt uses nowhere; the checksum over it is right`,
    'Only a boot loader that was changed for this number will boot it; all others say "Bad Magic Number".',
  ),
  'bytes-swapped': kind<{ what: string; unit: number }>(
    'error',
    'The bytes are swapped',
    (a) => `The bytes are swapped in groups of ${a.unit}: read the other way round this is ${a.what}`,
    'A flash programmer or a dump tool wrote words in the wrong byte order. Swap them back before you use the file.',
  ),
  'text-mode-damage': kind<{ count: number }>(
    'error',
    'Line ends were converted',
    (a) => `Every LF in this file stands behind a CR (${a.count} times): it was sent or saved as text`,
    'Transfer the file again in binary mode (FTP "binary", TFTP "octet").',
  ),
  'not-firmware': kind<{ what: string }>(
    'error',
    'This is not firmware',
    (a) => `This is not firmware: ${a.what}`,
    'Get the image itself; do not flash this file.',
  ),
  'file-empty': kind<Record<never, never>>('error', 'The file is empty', () => 'The file has no bytes', 'The download failed. Download it again.'),
  'format-unknown': kind<{ found: string }>(
    'warning',
    'Format not recognised',
    (a) => `No known format begins here; the first bytes are ${a.found}`,
    'owimg cannot tell what this is, so do not flash it on its word. owimg formats lists what it reads.',
  ),
  'data-unknown': kind<{ length: number; found: string }>(
    'warning',
    'Bytes that no format explains',
    nobodyUnderstands,
    'They may be a part that owimg does not know, or damage: no check of owimg speaks for them. Compare the SHA-256 of the file with the published one.',
  ),
  'data-unexplained': kind<{ length: number; found: string }>('note', 'Bytes inside of a layer that no format explains', nobodyUnderstands),
  'data-prepended': kind<{ length: number; what: string }>(
    'note',
    'Bytes were put in front of a finished image',
    (a) =>
      `${number(a.length, 'byte was', 'bytes were')} put in front after the image was finished: the checksum of what is appended (${a.what}) is right for what follows`,
    'A vendor\'s header, which the boot loader or the vendor page takes off. sysupgrade does not, and would say "Image metadata not present".',
  ),
  'data-trailing': kind<{ length: number; format: string }>(
    'warning',
    'Bytes behind the end of the image',
    (a) => `${number(a.length, 'byte lies', 'bytes lie')} behind the end of the image (${a.format}) and ${a.length === 1 ? 'belongs' : 'belong'} to nothing`,
    'Something was appended after the image was made. Vendor pages that compare lengths refuse such a file.',
  ),
  'start-displaced': kind<{ what: string; at: number; missing: number; surplus: number }>(
    'error',
    'The image begins in the wrong place',
    (a) =>
      `The ${a.what} at ${hexOffset(a.at)} stands on no erase-block boundary: ${number(a.missing, 'byte is', 'bytes are')} missing in front of the image, or ${number(a.surplus, 'is', 'are')} too many`,
    'A header or boot loader was cut off at the wrong place, or something was put in front. Written to flash like this the kernel or its settings will not be found. Use the original file.',
  ),
  'metadata-displaced': kind<{ length: number }>(
    'error',
    'Metadata is not at the end',
    (a) => `Metadata is there, but ${number(a.length, 'byte follows', 'bytes follow')} it, so OpenWrt will not find it`,
    'OpenWrt will say "Image metadata not present". Something appended bytes (a mail gateway, dd with padding). Use the original file.',
  ),
  'trailer-displaced': kind<{ what: string; length: number }>(
    'error',
    'A trailer is not at the end',
    (a) => `${a.what} is there, but ${number(a.length, 'byte of filler follows', 'bytes of filler follow')} it, so the vendor's upgrade will not find it`,
    'The vendor page will refuse this file. Something filled it up after it was made (dd with padding, a mirror). Use the original file.',
  ),
  'metadata-invalid': kind<{ reason: string }>(
    'error',
    'Metadata cannot be used',
    (a) => `The metadata cannot be used: ${a.reason}`,
    'sysupgrade cannot match this image with a device. It was built wrong: ask whoever built it.',
  ),
  'metadata-duplicate': kind<{ count: number }>(
    'warning',
    'Several metadata chunks',
    (a) => `${a.count} metadata chunks are appended; OpenWrt reads only the last one`,
    'Whoever appended the second one changed what devices the image is for. Use the original file.',
  ),
  'metadata-version-message': kind<{ message: string }>(
    'note',
    'The image carries a message for the one who upgrades',
    (a) => `The image says to older systems: "${a.message}"`,
  ),
  'bootloader-inside': kind<{ length: number; distance: number }>(
    'note',
    'A boot loader is inside',
    (a) =>
      `A boot loader of ${a.length} bytes is inside; the firmware itself begins ${a.distance} (${hexOffset(a.distance)}) bytes behind the start of this header`,
    "The vendor's web page writes both. sysupgrade, mtd and a boot loader's prompt take the firmware alone and would put the boot loader where the kernel belongs: take it off with owimg strip first.",
  ),
  'signature-unverified': kind<{ length: number }>(
    'note',
    'Signature present, not verified',
    (a) => `A signature of ${a.length} bytes is appended; owimg has no key to verify it with`,
  ),
  'identities-differ': kind<{ first: string; second: string }>(
    'warning',
    'The file names two devices',
    (a) => `The file contradicts itself about its device: ${a.first}, but ${a.second}`,
    'One part of this file is for another device. Do not flash it before you know which.',
  ),
  'member-missing': kind<{ member: string; container: string }>(
    'error',
    'A part is missing',
    (a) => `The ${a.container} has no ${a.member}`,
    'sysupgrade needs it. The image was packed wrong or is cut off.',
  ),
  'path-unsafe': kind<{ path: string; reason: string }>(
    'error',
    'An unsafe path',
    (a) => `The member "${a.path}" ${a.reason}`,
    'No firmware has such members. Whoever made this file wants to write outside of its folder: do not unpack it.',
  ),
  'archive-encrypted': kind<{ member: string }>(
    'error',
    'An encrypted member',
    (a) => `The member "${a.member}" is encrypted, so nobody can tell what is in it`,
    'Unpack it with its password first, then inspect what came out.',
  ),
  'compression-unsupported': kind<{ member: string; method: string }>(
    'warning',
    'A member in a compression that owimg does not read',
    (a) => `The member "${a.member}" is packed with ${a.method}, so what is in it was not looked at`,
    'Unpack it with another program, then inspect what came out.',
  ),
  'member-unknown': kind<{ member: string; found: string }>(
    'note',
    'A member that no format explains',
    (a) => `Nobody understands the member "${a.member}"; it begins with ${a.found}`,
  ),
  'archive-unrecognised': kind<{ count: number }>(
    'warning',
    'Nothing in the archive is recognised',
    (a) => (a.count === 1 ? 'The only member of the archive is of no known format' : `None of the ${a.count} members of the archive is of a known format`),
    'owimg cannot tell whether there is firmware in it, so do not flash it on its word. owimg formats lists what it reads.',
  ),
  'archive-without-firmware': kind<{ count: number }>(
    'error',
    'No firmware in the archive',
    (a) => (a.count === 1 ? 'The only member of the archive is no firmware' : `None of the ${a.count} members of the archive is firmware`),
    'This is another download (release notes, a tool). Get the one with the image.',
  ),
  'unpacking-stopped': kind<{ reason: string }>(
    'error',
    'Unpacking was stopped',
    (a) => `Unpacking was stopped: ${a.reason}`,
    'No firmware needs this; the file is damaged or made to exhaust memory.',
  ),
  'stream-corrupt': kind<{ what: string; reason: string }>(
    'error',
    'Compressed data is damaged',
    (a) => `Cannot unpack the ${a.what} stream: ${a.reason}`,
    `The compressed data is damaged. Do not flash it. ${again}`,
  ),
  'stream-length-mismatch': kind<{ what: string; expected: number; actual: number }>(
    'error',
    'Unpacked length is wrong',
    (a) => `The ${a.what} stream should unpack to ${a.expected} bytes but gives ${a.actual}`,
    `The compressed data is damaged. Do not flash it. ${again}`,
  ),
  'filter-unknown': kind<{ what: string; filter: string }>(
    'warning',
    'A filter that owimg does not undo',
    (a) => `The ${a.what} unpacks, but was filtered for ${a.filter} before it was compressed; owimg does not undo that`,
    'Unpack it with xz first, then inspect what came out.',
  ),
  'compression-mismatch': kind<{ expected: string; actual: string }>(
    'error',
    'Compression is not what the header says',
    (a) => `The header says that the data is ${a.expected}, but it is ${a.actual}`,
    'The boot loader will try to unpack it wrongly and stop. The image was built wrong.',
  ),
  'lzma-dictionary-invalid': kind<{ actual: number }>(
    'error',
    'LZMA dictionary size is not possible',
    (a) => `The LZMA dictionary size is ${a.actual}: expected a power of two, the sum of two neighbouring ones, or whole MiB`,
    'Boot loaders say "LZMA ERROR 1" and stop. The header is damaged or was made by a broken tool.',
  ),
  'nesting-too-deep': kind<{ limit: number }>(
    'error',
    'Too many layers inside each other',
    (a) => `More than ${a.limit} layers lie inside each other; what is further in was not read`,
    'No firmware is packed like this. Do not flash it.',
  ),
  'wrapped-twice': kind<{ format: string }>(
    'warning',
    'The same wrapper twice',
    (a) => `A ${a.format} header lies inside of a ${a.format} header`,
    'Somebody wrapped a finished image again. The device will take off one header and stumble over the second: owimg strip takes one off.',
  ),
  'block-missing': kind<{ volume: string; block: number }>(
    'error',
    'A UBI block is missing',
    (a) => `Volume "${a.volume}" lacks its logical block ${a.block}`,
    `The image is incomplete. Do not flash it. ${again}`,
  ),
  'geometry-differs': kind<{ what: string; expected: number; actual: number }>(
    'error',
    'Erase blocks of different geometry',
    (a) => `The ${a.what} of this erase block differs: expected ${a.expected}, found ${a.actual}`,
    'Two images were mixed, or the file was made for another flash chip. Do not flash it.',
  ),
  'sequence-differs': kind<{ expected: string; actual: string }>(
    'error',
    'Erase blocks of different images',
    (a) => `This erase block carries image sequence ${a.actual}, the others ${a.expected}`,
    'UBI refuses to attach such a mixture ("bad image sequence number"). Do not flash it.',
  ),
  'rootfs-truncated': kind<{ claimed: number; available: number; missing: number }>(
    'error',
    'The root file system is cut off',
    (a) => `The file system needs ${a.claimed} bytes but only ${number(a.available, 'is', 'are')} there, ${number(a.missing, 'is', 'are')} missing`,
    `The file is cut off. A device would boot and fail to mount its root. Do not flash it. ${again}`,
  ),
  'partition-beyond-end': kind<{ partition: string; claimed: number; available: number }>(
    'note',
    'A partition reaches beyond the end of the image',
    (a) =>
      a.available === 0
        ? `The image holds nothing of ${a.partition} (${a.claimed} bytes)`
        : `The image ends inside of ${a.partition}: it holds ${a.available} of ${a.claimed} bytes`,
    'Usual for OpenWrt, which leaves out what a partition has behind its file system. If the file should hold more, compare its SHA-256 with the published one.',
  ),
  'partition-overlap': kind<{ first: string; second: string }>(
    'error',
    'Two partitions overlap',
    (a) => `${a.second} begins before ${a.first} ends`,
    `The partition table is damaged or was edited wrongly: writing to one partition would destroy the other. Do not flash it. ${again}`,
  ),
  'backup-missing': kind<{ what: string; at: string }>(
    'note',
    'A backup is missing',
    (a) => `There is no backup of ${a.what} at ${a.at}, where it should be`,
    'Usual for OpenWrt, whose ptgen writes none by default. It boots all the same; partition tools offer to write one.',
  ),
  'backup-differs': kind<{ what: string; difference: string }>(
    'warning',
    'A backup differs',
    (a) => `The backup of ${a.what} says something else: ${a.difference}`,
    'One of the two was changed without the other. Which one counts depends on who reads it: repair it with a partition or file system tool, or use the original file.',
  ),
  'configuration-missing': kind<{ name: string }>(
    'error',
    'The default configuration is missing',
    (a) => `The default configuration "${a.name}" does not exist`,
    'U-Boot will say "Could not find configuration node". The image was built wrong.',
  ),
  'subimage-missing': kind<{ configuration: string; property: string; name: string }>(
    'error',
    'A configuration names an image that is missing',
    (a) => `The configuration "${a.configuration}" names "${a.name}" as its ${a.property}, but there is no such image`,
    'U-Boot will say "Could not find subimage node" and not boot this configuration. The image was built wrong.',
  ),
  'signature-key-missing': kind<{ node: string; algorithm: string; key: string }>(
    'note',
    'Signed, not verified',
    (a) => `"${a.node}" carries a signature (${a.algorithm}, key "${a.key}"); the public key lies in the boot loader, so the file alone cannot prove it`,
  ),
  'name-contradicts': kind<{ says: string; is: string }>(
    'warning',
    'The file name contradicts the content',
    (a) => `The file name says ${a.says}, but the content is ${a.is}`,
    'Trust the content. Somebody renamed the file, it is the wrong one of two, or its end is missing: compare its SHA-256 with the published one.',
  ),
  'details-omitted': kind<{ fields: number; findings: number }>(
    'note',
    'Not everything is shown',
    (a) => `This layer has ${a.fields} more fields and ${a.findings} more findings than are shown`,
  ),
  'list-shortened': kind<{ what: string; count: number }>('note', 'Not everything is shown', (a) => `${a.count} more ${a.what} were read but are not shown`),
  'files-omitted': kind<{ limit: number }>(
    'note',
    'Not all files were looked at',
    (a) => `The file system has more files and directories than owimg looks at (${a.limit}), or they lie in too many pieces; the rest was not looked into`,
  ),
  'entries-too-many': kind<{ what: string; limit: number }>(
    'error',
    'Too many entries',
    (a) => `There are more than ${a.limit} ${a.what}; the rest was not read`,
    'No firmware has that many. Do not flash it.',
  ),

  // What a way of flashing would make of an image on a device (src/routes).
  'device-mismatch': kind<{ device: string; supported: string }>(
    'error',
    'The image is for other devices',
    (a) => `The image does not name this device: it is for ${a.supported}, not for ${a.device}`,
    'The device will say "Device … not supported by this image". Do not force it: get the image of your own device.',
  ),
  'device-renamed': kind<{ device: string; now: string }>(
    'warning',
    'The right device under another name',
    (a) => `The image is for the same hardware, but the running system calls itself ${a.device} and the image knows it as ${a.now}`,
    'The hardware is right, only the name has changed. The least dangerous way on is sysupgrade -F -n, which gives up the settings; restore them by hand.',
  ),
  'identity-mismatch': kind<{ source: string; value: string; device: string; other: string }>(
    'error',
    'A part of the image is for another device',
    (a) => `${a.source} says ${a.value}, which is ${a.other}, not ${a.device}`,
    'Whatever the rest of the file says, this part was built for other hardware. Do not flash it.',
  ),
  'layout-mismatch': kind<{ what: string; expected: string; actual: string; device: string }>(
    'error',
    'Not built like the images of this device',
    (a) => `${a.what} is not as OpenWrt builds it for ${a.device}: expected ${a.expected}, found ${a.actual}`,
    'The image is of another kind or for another device. Use the file that OpenWrt builds for yours.',
  ),
  'header-mismatch': kind<{ field: string; expected: string; actual: string; device: string }>(
    'error',
    'A header value of another device',
    (a) => `${a.field} in the header is ${a.actual}; ${a.device} wants ${a.expected}`,
    'The vendor firmware or the boot loader compares this value and refuses the file. Get the image of your own device and region.',
  ),
  'boot-magic-mismatch': kind<{ expected: string; actual: string; words: string }>(
    'error',
    'The boot loader would not find its magic number',
    (a) => `The boot loader looks for ${a.expected} at the start of the firmware partition and would find ${a.actual}: ${a.words}`,
    'Do not write this file to the partition. Use the sysupgrade image, with sysupgrade.',
  ),
  'metadata-missing': kind<{ required: string }>(
    'error',
    'No metadata for sysupgrade',
    (a) => `The image has no valid metadata at its end; ${a.required}`,
    'sysupgrade will say "Image metadata not present". Use the file with "sysupgrade" in its name, complete and unchanged.',
  ),
  'compat-version-major': kind<{ device: string; image: string; message: string }>(
    'error',
    'Another major compat version',
    (a) => `The running system has compat version ${a.device}, the image ${a.image}: sysupgrade is not possible between them.${a.message}`,
    'Do not force it: the layout of the flash has changed. Follow the steps on the page of your device, usually a fresh install.',
  ),
  'compat-version-minor': kind<{ device: string; image: string; message: string }>(
    'warning',
    'Another minor compat version',
    (a) => `The running system has compat version ${a.device}, the image ${a.image}: the settings cannot be taken over.${a.message}`,
    'Upgrade without keeping the settings: sysupgrade -n.',
  ),
  'platform-check-failed': kind<{ says: string; why: string }>(
    'error',
    'The platform refuses the image',
    (a) => `The running system will say "${a.says}": ${a.why}`,
    'The check is the last one in front of the flash. Do not force it: use the sysupgrade image of this device.',
  ),
  'image-too-big': kind<{ length: number; limit: number; where: string }>(
    'error',
    'The image is too big',
    (a) => `The image has ${a.length} bytes, ${a.where} takes ${a.limit}: ${a.length - a.limit} too many`,
    'Build it with fewer packages, or use an image for a device with more flash.',
  ),
  'kernel-too-big': kind<{ length: number; limit: number; where: string }>(
    'error',
    'The kernel is too big',
    (a) => `The kernel has ${a.length} bytes, ${a.where} takes ${a.limit}: ${a.length - a.limit} too many`,
    'The boot loader would read only a part of it. Build a smaller kernel, or see whether the device has a newer layout.',
  ),
  'initramfs-not-installable': kind<Record<never, never>>(
    'error',
    'An image that runs from RAM',
    () => 'The image has a kernel but no root file system behind it: it runs from RAM and stores nothing',
    'Boot it over the network to get a running OpenWrt, then install the sysupgrade image from there.',
  ),
  'kernel-missing': kind<{ found: string }>(
    'error',
    'No kernel',
    (a) => `There is no kernel in the image: it begins with ${a.found}`,
    'This is only a part of an image. Use the sysupgrade or factory image.',
  ),
  'signature-demanded': kind<{ present: string }>(
    'error',
    'The running system demands a signature',
    (a) => `The running system takes signed images only; ${a.present}`,
    'Use the signed image from whoever built the running system.',
  ),
  'vendor-signature-missing': kind<{ version: string; from: string; source: string }>(
    'error',
    'The vendor firmware wants a signature',
    (a) => `Version ${a.version} of the vendor firmware takes only what the vendor has signed (from ${a.from} on), and this is not: ${a.source}`,
    'Nothing can be repaired in the file. Go back to an older vendor firmware first where that is possible, or take the other way on the page of your device.',
  ),
  'vendor-version-too-old': kind<{ version: string; since: string; source: string }>(
    'error',
    'The vendor firmware is too old for this image',
    (a) => `The vendor firmware is ${a.version}; images like this are taken from ${a.since} on: ${a.source}`,
    'Update the vendor firmware first, then install.',
  ),
  'region-mismatch': kind<{ wanted: string; regions: string }>(
    'error',
    'The image is for another region',
    (a) => `The image is for ${a.regions}, the device was sold for ${a.wanted}`,
    'The vendor web page will say "18005", "illegal file type" or "not supported". Take the factory image of your region, or the boot loader recovery, which often does not look.',
  ),
  'dictionary-too-big': kind<{ length: number; limit: number }>(
    'error',
    'The LZMA dictionary is too big for the boot loader',
    (a) => `The kernel was packed with a dictionary of ${a.length} bytes; the boot loader of this device has room for ${a.limit}`,
    'The boot loader will say "LZMA ERROR 1" and not start the kernel. Build the image by the recipe of this device, which limits the dictionary.',
  ),
  'file-name-not-asked': kind<{ name: string; wanted: string }>(
    'warning',
    'The boot loader asks for another file name',
    (a) => `The boot loader asks for ${a.wanted} and takes no other name; this file is called ${a.name}`,
    'Nothing is wrong with the file: offer it under the name that is asked for.',
  ),
  'dump-in-front': kind<{ format: string; offset: number }>(
    'error',
    'Something stands in front of the firmware',
    (a) =>
      `The firmware (${a.format}) begins only at ${a.offset} (${hexOffset(a.offset)}); what stands in front of it (a header, or a boot loader as in a dump of the whole flash) would come where the firmware belongs`,
    "Cut off what stands in front of the firmware and what stands behind it, and check the rest again. A dump holds the data of one single device: never write another one's.",
  ),
  'name-too-long': kind<{ length: number; limit: number }>(
    'warning',
    'The file name is too long for the vendor web page',
    (a) => `The file name has ${a.length} characters; the web page of this vendor takes ${a.limit}`,
    'Rename the file to something short, as firmware.bin, and upload it again.',
  ),
  'block-rollover': kind<{ length: number; blocks: number }>(
    'warning',
    'More than 65535 TFTP blocks',
    (a) => `The image needs ${a.blocks} blocks of 512 bytes; many boot loaders stop at 65535 (32 MiB)`,
    'Use a smaller image (an initramfs), or a server and a loader that agree on larger blocks.',
  ),

  // What is found only when a whole build is looked at (src/audit).
  'digest-mismatch': kind<{ list: string; expected: string; actual: string }>(
    'error',
    'The file is not the published one',
    (a) => `${a.list} says SHA-256 ${a.expected}, the file has ${a.actual}`,
    'The file was changed, or is incomplete, after the list was made. Do not publish or flash it. Build or download it again.',
  ),
  'image-missing': kind<{ list: string; name: string }>(
    'error',
    'An image is listed and not there',
    (a) => `${a.list} lists ${a.name}, which is not in the folder`,
    'The build did not finish, or the upload did not. Whoever follows the list finds nothing.',
  ),
  'image-not-listed': kind<{ list: string }>(
    'note',
    'An image is there and not listed',
    (a) => `The file is not in ${a.list}`,
    'It may be left over from an older build. Nothing says which device it is for but the file itself.',
  ),
  'list-invalid': kind<{ list: string; reason: string }>(
    'error',
    'A list of the build cannot be read',
    (a) => `${a.list} cannot be read: ${a.reason}`,
    'The images beside it are audited by what they say themselves. Build the list again.',
  ),
  'profile-unknown': kind<{ profile: string }>(
    'note',
    'A profile that owimg does not know',
    (a) => `The facts that come with owimg have no profile ${a.profile}: its images are checked for damage, but not for the device`,
    'It is newer than these facts, or of another project.',
  ),
  'board-claimed-twice': kind<{ board: string; first: string; second: string }>(
    'warning',
    'Two profiles claim one board name',
    (a) => `The images of ${a.first} and of ${a.second} both say that they are for ${a.board}`,
    'A device with this name accepts both, and upgrade services pick one of them. Take the name out of the one that it is not.',
  ),
  'board-lost': kind<{ board: string; profile: string }>(
    'error',
    'A board name was lost',
    (a) => `${a.profile} was for ${a.board} in the baseline, and is no more`,
    'Devices that call themselves so will refuse this image. Add the name to SUPPORTED_DEVICES again.',
  ),
  'compat-version-fallen': kind<{ profile: string; before: string; now: string }>(
    'error',
    'The compat version has fallen',
    (a) => `${a.profile} had compat version ${a.before} in the baseline and has ${a.now} now`,
    'Devices with the old version will refuse this image, and some will be forced and bricked. Set DEVICE_COMPAT_VERSION again.',
  ),
  'kernel-near-limit': kind<{ length: number; limit: number; percent: number }>(
    'warning',
    'The kernel is near its limit',
    (a) => `The kernel has ${a.length} bytes, ${a.percent} % of the ${a.limit} that there is room for`,
    'The next kernel will not fit. See whether the device has a newer layout.',
  ),

  // An answer that reports made of findings could not show otherwise.
  'verdict-negative': kind<{ name: string; message: string }>(
    'error',
    'The verdict is no',
    (a) => `${a.name}: ${a.message}`,
    'owimg check FILE --device D tells all ways of flashing, and what to type next.',
  ),
  'verdict-open': kind<{ name: string; message: string }>(
    'warning',
    'owimg cannot tell',
    (a) => `${a.name}: ${a.message}`,
    'Never read it as good. Name the device, or see docs/formats.md for what is read.',
  ),
} as const;

export type FindingCode = keyof typeof findingKinds;

type ArgumentsOf<C extends FindingCode> = Parameters<(typeof findingKinds)[C]['message']>[0];

/** A finding as a format or the engine makes it: offsets count from the window, the layer is not known yet. */
export interface LocalFinding extends Range {
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly message: string;
  readonly hint?: string;
}

/**
 * Makes a finding at a stretch of bytes.
 *
 * @example
 * finding('structure-invalid', { offset: 30, length: 1 }, { what: 'image type', expected: '0 to 47', actual: 255 });
 */
export function finding<C extends FindingCode>(code: C, where: Range, args: ArgumentsOf<C>): LocalFinding {
  const entry = findingKinds[code] as unknown as FindingKind<Arguments>;
  const { offset, length } = where;
  const base = { code, severity: entry.severity, message: entry.message(args as Arguments), offset, length };
  return entry.hint === undefined ? base : { ...base, hint: entry.hint };
}

/**
 * A length that needs more bytes than are there. Its place reaches from the length field to the end of the
 * bytes, for either may be what is wrong.
 */
export function lengthBeyondEnd(field: string, at: Range, claimed: number, available: number, end: number): LocalFinding {
  const place = { offset: at.offset, length: Math.max(at.length, end - at.offset) };
  return finding('length-beyond-end', place, { field, claimed, available, missing: claimed - available });
}

/** A finding if other bytes than these stand where a magic number that reads as text should. */
export function damagedMagic(what: string, bytes: Uint8Array, offset: number, magic: Uint8Array): LocalFinding[] {
  const found = bytes.subarray(offset, offset + magic.length);
  if (hexBytes(found) === hexBytes(magic)) return [];
  const say = (value: Uint8Array): string => `${hexBytes(value)} ("${printable(value)}")`;
  return [finding('magic-damaged', { offset, length: magic.length }, { what: `the ${what}`, expected: say(magic), actual: say(found) })];
}
