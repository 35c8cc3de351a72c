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
  /** Why it matters: what a device does about it. For `owimg explain` and the docs. */
  readonly why?: string;
}

function kind<A extends Arguments>(severity: Severity, title: string, message: (args: A) => string, hint?: string, why?: string): FindingKind<A> {
  return { severity, title, message, ...(hint === undefined ? {} : { hint }), ...(why === undefined ? {} : { why }) };
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
    'Boot loaders and vendor pages compute this sum before anything else. With a wrong one they refuse the file, or, if it is in the flash already, the device does not start.',
  ),
  'data-checksum-mismatch': kind<Mismatch>(
    'error',
    'Data checksum is wrong',
    mismatch('checksum over the data'),
    `The data is damaged or incomplete; a boot loader that checks it will not boot it. Do not flash it. ${again}`,
    'U-Boot computes this sum each time it starts the kernel. A kernel that fails it is never started.',
  ),
  'image-checksum-mismatch': kind<Mismatch>(
    'error',
    'Image checksum is wrong',
    mismatch('checksum over the image'),
    `The image is damaged or incomplete; the vendor's upgrade will refuse it. Do not flash it. ${again}`,
    'The sum covers what is to be written. Who checks it refuses the file; who does not would write damaged bytes.',
  ),
  'kernel-checksum-mismatch': kind<Mismatch>(
    'error',
    'Kernel checksum is wrong',
    mismatch('checksum over the kernel'),
    `The kernel is damaged. Do not flash it. ${again}`,
    'A boot loader that checks it does not start the kernel; one that does not check it starts a damaged one.',
  ),
  'rootfs-checksum-mismatch': kind<Mismatch>(
    'error',
    'Root file system checksum is wrong',
    mismatch('checksum over the root file system'),
    `The root file system is damaged. Do not flash it. ${again}`,
    'The root file system holds all programs. Damaged, the device may start and then stop, or behave strangely.',
  ),
  'metadata-checksum-mismatch': kind<Mismatch>(
    'error',
    'Metadata checksum is wrong',
    mismatch('checksum of the appended metadata'),
    `The checksum covers the whole image in front of it, so any changed byte breaks it. OpenWrt will say "Image metadata not present". ${again}`,
    'sysupgrade finds the names of the devices only if this sum is right. It is the one check on most devices that notices a damaged image.',
  ),
  'hash-mismatch': kind<Mismatch>(
    'error',
    'A FIT hash is wrong',
    mismatch('hash'),
    `U-Boot will say "Bad Data Hash" and not boot. Do not flash it. ${again}`,
    'A FIT image has a hash for each part, and U-Boot computes it before it starts the part.',
  ),
  'length-beyond-end': kind<{ field: string; claimed: number; available: number; missing: number }>(
    'error',
    'A length reaches beyond the end',
    (a) =>
      `Cannot read all of ${a.field}: it should have ${bytesText(a.claimed)} but only ${number(a.available, 'is', 'are')} left, ${number(a.missing, 'is', 'are')} missing`,
    `The file is cut off, or the length is damaged. ${again}`,
    'Whoever follows the header reads bytes that are not there: the flash would hold half a system.',
  ),
  'length-understated': kind<{ field: string; claimed: number; actual: number }>(
    'note',
    'A length is shorter than what its checksum covers',
    (a) => `${a.field} says ${a.claimed} bytes, but the checksum is right over ${a.actual}`,
    'The tool that made the image does so. A boot loader that computes the checksum over the length that is given will refuse it.',
    'What a length says and what its checksum covers should be the same. Here the checksum is right over more, so nothing is damaged.',
  ),
  'header-truncated': kind<{ what: string; length: number; available: number }>(
    'error',
    'The file ends inside a header',
    (a) => `Cannot read ${a.what} of ${bytesText(a.length)}: only ${number(a.available, 'is', 'are')} left`,
    `The file is cut off. ${again}`,
    'Without a whole header nothing behind it can be found.',
  ),
  'structure-invalid': kind<{ what: string; expected: string; actual: string | number }>(
    'error',
    'A value contradicts the format',
    (a) => `The ${a.what} is not possible: expected ${a.expected}, found ${a.actual}`,
    `The header is damaged or was made by a broken tool. Do not flash it. ${again}`,
    'No tool that works makes such a value, so the rest of the header cannot be believed either.',
  ),
  'magic-damaged': kind<{ what: string; expected: string; actual: string }>(
    'error',
    'A magic number is wrong',
    (a) => `The magic number of ${a.what} is wrong: expected ${a.expected}, found ${a.actual}, while all that follows fits`,
    'Whatever reads it on the device (a boot loader, sysupgrade, the vendor page) will not recognise it; U-Boot says "Bad Magic Number". The file is damaged or its bytes were swapped. Do not flash it.',
    'The first bytes (the magic number) are how every boot loader and every page recognises its format. One wrong bit is enough to be refused.',
  ),
  'magic-unusual': kind<{ what: string; actual: string }>(
    'warning',
    'An unusual magic number',
    (a) => `The magic number of ${a.what} is ${a.actual}, which OpenWrt uses nowhere; the checksum over it is right`,
    'Only a boot loader that was changed for this number will boot it; all others say "Bad Magic Number".',
    'Some vendors changed the number so that their boot loader takes their files only.',
  ),
  'bytes-swapped': kind<{ what: string; unit: number }>(
    'error',
    'The bytes are swapped',
    (a) => `The bytes are swapped in groups of ${a.unit}: read the other way round this is ${a.what}`,
    'A flash programmer or a dump tool wrote words in the wrong byte order. Swap them back before you use the file.',
    'Flash chips and programmers do not agree on which byte of a word comes first. The content is right, its order is not.',
  ),
  'text-mode-damage': kind<{ count: number }>(
    'error',
    'Line ends were converted',
    (a) => `Every LF in this file stands behind a CR (${a.count} times): it was sent or saved as text`,
    'Transfer the file again in binary mode (FTP "binary", TFTP "octet").',
    'A transfer as text puts a byte in front of every line end. In a binary file such bytes are everywhere, so all that follows is displaced.',
  ),
  'not-firmware': kind<{ what: string }>(
    'error',
    'This is not firmware',
    (a) => `This is not firmware: ${a.what}`,
    'Get the image itself; do not flash this file.',
    'Saved download pages and error pages often carry the name of the image. Some devices write whatever they get.',
  ),
  'file-empty': kind<Record<never, never>>(
    'error',
    'The file is empty',
    () => 'The file has no bytes',
    'The download failed. Download it again.',
    'An empty file passes more checks than one would think: on some devices it erases the system.',
  ),
  'format-unknown': kind<{ found: string }>(
    'warning',
    'Format not recognised',
    (a) => `No known format begins here; the first bytes are ${a.found}`,
    'owimg cannot tell what this is, so do not flash it on its word. owimg formats lists what it reads.',
    'What nobody recognises nobody can check. That is no proof that it is bad, and none that it is good.',
  ),
  'data-unknown': kind<{ length: number; found: string }>(
    'warning',
    'Bytes that no format explains',
    nobodyUnderstands,
    'They may be a part that owimg does not know, or damage: no check of owimg speaks for them. Compare the SHA-256 of the file with the published one.',
    'These bytes belong to a part that owimg does not know, or to none. No checksum that owimg computed covers them.',
  ),
  'data-unexplained': kind<{ length: number; found: string }>(
    'note',
    'Bytes inside of a layer that no format explains',
    nobodyUnderstands,
    undefined,
    'The layer around these bytes is understood and whole; vendors keep dates, names and tables of their own in such places.',
  ),
  'data-prepended': kind<{ length: number; what: string }>(
    'note',
    'Bytes were put in front of a finished image',
    (a) =>
      `${number(a.length, 'byte was', 'bytes were')} put in front after the image was finished: the checksum of what is appended (${a.what}) is right for what follows`,
    'A vendor\'s header, which the boot loader or the vendor page takes off. sysupgrade does not, and would say "Image metadata not present".',
    'The checksum of what was appended last proves that the image was finished before something was put in front of it.',
  ),
  'data-trailing': kind<{ length: number; format: string }>(
    'warning',
    'Bytes behind the end of the image',
    (a) => `${number(a.length, 'byte lies', 'bytes lie')} behind the end of the image (${a.format}) and ${a.length === 1 ? 'belongs' : 'belong'} to nothing`,
    'Something was appended after the image was made. Vendor pages that compare lengths refuse such a file.',
    'A format says where it ends. What follows was put there by somebody else, or belongs to another file.',
  ),
  'start-displaced': kind<{ what: string; at: number; missing: number; surplus: number }>(
    'error',
    'The image begins in the wrong place',
    (a) =>
      `The ${a.what} at ${hexOffset(a.at)} stands on no erase-block boundary: ${number(a.missing, 'byte is', 'bytes are')} missing in front of the image, or ${number(a.surplus, 'is', 'are')} too many`,
    'A header or boot loader was cut off at the wrong place, or something was put in front. Written to flash like this the kernel or its settings will not be found. Use the original file.',
    'Flash is erased in blocks, and what is looked for by the kernel must begin at one. An image that is shifted by some bytes is not found.',
  ),
  'metadata-displaced': kind<{ length: number }>(
    'error',
    'Metadata is not at the end',
    (a) => `Metadata is there, but ${number(a.length, 'byte follows', 'bytes follow')} it, so OpenWrt will not find it`,
    'OpenWrt will say "Image metadata not present". Something appended bytes (a mail gateway, dd with padding). Use the original file.',
    'sysupgrade reads the metadata from the very last bytes of the file and does not search for it.',
  ),
  'trailer-displaced': kind<{ what: string; length: number }>(
    'error',
    'A trailer is not at the end',
    (a) => `${a.what} is there, but ${number(a.length, 'byte of filler follows', 'bytes of filler follow')} it, so the vendor's upgrade will not find it`,
    'The vendor page will refuse this file. Something filled it up after it was made (dd with padding, a mirror). Use the original file.',
    "The vendor's upgrade reads this part from the very last bytes of the file and does not search for it.",
  ),
  'metadata-invalid': kind<{ reason: string }>(
    'error',
    'Metadata cannot be used',
    (a) => `The metadata cannot be used: ${a.reason}`,
    'sysupgrade cannot match this image with a device. It was built wrong: ask whoever built it.',
    'sysupgrade compares the name of the device with the list in the metadata. Without a list it refuses every device.',
  ),
  'metadata-duplicate': kind<{ count: number }>(
    'warning',
    'Several metadata chunks',
    (a) => `${a.count} metadata chunks are appended; OpenWrt reads only the last one`,
    'Whoever appended the second one changed what devices the image is for. Use the original file.',
    'The last one decides for which devices the file is taken. One that was added later says nothing about how the image was built.',
  ),
  'metadata-version-message': kind<{ message: string }>(
    'note',
    'The image carries a message for the one who upgrades',
    (a) => `The image says to older systems: "${a.message}"`,
    undefined,
    'Builders put it there for people who upgrade from an older layout. The running system shows it when it refuses.',
  ),
  'bootloader-inside': kind<{ length: number; distance: number }>(
    'note',
    'A boot loader is inside',
    (a) =>
      `A boot loader of ${a.length} bytes is inside; the firmware itself begins ${a.distance} (${hexOffset(a.distance)}) bytes behind the start of this header`,
    "The vendor's web page writes both. sysupgrade, mtd and a boot loader's prompt take the firmware alone and would put the boot loader where the kernel belongs: take it off with owimg strip first.",
    'Vendor files often hold the boot loader too. Written to the firmware partition as it is, it stands where the kernel should, and the device does not start; this is how many devices were lost on the way back to the vendor firmware.',
  ),
  'signature-unverified': kind<{ length: number }>(
    'note',
    'Signature present, not verified',
    (a) => `A signature of ${a.length} bytes is appended; owimg has no key to verify it with`,
    undefined,
    'A signature proves who made the file, but only to somebody who has the key of that maker.',
  ),
  'identities-differ': kind<{ first: string; second: string }>(
    'warning',
    'The file names two devices',
    (a) => `The file contradicts itself about its device: ${a.first}, but ${a.second}`,
    'One part of this file is for another device. Do not flash it before you know which.',
    'An image names its device in several places. If they differ, parts of two images were put together, or one was edited to get it past a check.',
  ),
  'member-missing': kind<{ member: string; container: string }>(
    'error',
    'A part is missing',
    (a) => `The ${a.container} has no ${a.member}`,
    'sysupgrade needs it. The image was packed wrong or is cut off.',
    'sysupgrade takes the kernel and the root file system out of this archive by their names.',
  ),
  'path-unsafe': kind<{ path: string; reason: string }>(
    'error',
    'An unsafe path',
    (a) => `The member "${a.path}" ${a.reason}`,
    'No firmware has such members. Whoever made this file wants to write outside of its folder: do not unpack it.',
    'An archive with such a path would overwrite files of whoever unpacks it.',
  ),
  'archive-encrypted': kind<{ member: string }>(
    'error',
    'An encrypted member',
    (a) => `The member "${a.member}" is encrypted, so nobody can tell what is in it`,
    'Unpack it with its password first, then inspect what came out.',
    'What cannot be read cannot be checked.',
  ),
  'compression-unsupported': kind<{ member: string; method: string }>(
    'warning',
    'A member in a compression that owimg does not read',
    (a) => `The member "${a.member}" is packed with ${a.method}, so what is in it was not looked at`,
    'Unpack it with another program, then inspect what came out.',
    'What was not unpacked was not checked.',
  ),
  'member-unknown': kind<{ member: string; found: string }>(
    'note',
    'A member that no format explains',
    (a) => `Nobody understands the member "${a.member}"; it begins with ${a.found}`,
    undefined,
    'What nobody recognises nobody can check; it may be a part that owimg does not know, or a text.',
  ),
  'archive-unrecognised': kind<{ count: number }>(
    'warning',
    'Nothing in the archive is recognised',
    (a) => (a.count === 1 ? 'The only member of the archive is of no known format' : `None of the ${a.count} members of the archive is of a known format`),
    'owimg cannot tell whether there is firmware in it, so do not flash it on its word. owimg formats lists what it reads.',
    'What nobody recognises nobody can check. That is no proof that it is bad, and none that it is good.',
  ),
  'archive-without-firmware': kind<{ count: number }>(
    'error',
    'No firmware in the archive',
    (a) => (a.count === 1 ? 'The only member of the archive is no firmware' : `None of the ${a.count} members of the archive is firmware`),
    'This is another download (release notes, a tool). Get the one with the image.',
    "A vendor's download page offers several archives for one device.",
  ),
  'unpacking-stopped': kind<{ reason: string }>(
    'error',
    'Unpacking was stopped',
    (a) => `Unpacking was stopped: ${a.reason}`,
    'No firmware needs this; the file is damaged or made to exhaust memory.',
    'A small file can be made so that it unpacks to more than any computer has room for.',
  ),
  'stream-corrupt': kind<{ what: string; reason: string }>(
    'error',
    'Compressed data is damaged',
    (a) => `Cannot unpack the ${a.what} stream: ${a.reason}`,
    `The compressed data is damaged. Do not flash it. ${again}`,
    'A boot loader unpacks the kernel each time it starts it, and stops at the first damaged byte.',
  ),
  'stream-length-mismatch': kind<{ what: string; expected: number; actual: number }>(
    'error',
    'Unpacked length is wrong',
    (a) => `The ${a.what} stream should unpack to ${a.expected} bytes but gives ${a.actual}`,
    `The compressed data is damaged. Do not flash it. ${again}`,
    'The length in front of the packed data says what must come out. Another length means that bytes were lost or changed.',
  ),
  'filter-unknown': kind<{ what: string; filter: string }>(
    'warning',
    'A filter that owimg does not undo',
    (a) => `The ${a.what} unpacks, but was filtered for ${a.filter} before it was compressed; owimg does not undo that`,
    'Unpack it with xz first, then inspect what came out.',
    'Such a filter rewrites addresses so that programs pack better. What comes out before it is undone cannot be read.',
  ),
  'compression-mismatch': kind<{ expected: string; actual: string }>(
    'error',
    'Compression is not what the header says',
    (a) => `The header says that the data is ${a.expected}, but it is ${a.actual}`,
    'The boot loader will try to unpack it wrongly and stop. The image was built wrong.',
    'The boot loader chooses how to unpack by the header, not by looking at the data.',
  ),
  'lzma-dictionary-invalid': kind<{ actual: number }>(
    'error',
    'LZMA dictionary size is not possible',
    (a) => `The LZMA dictionary size is ${a.actual}: expected a power of two, the sum of two neighbouring ones, or whole MiB`,
    'Boot loaders say "LZMA ERROR 1" and stop. The header is damaged or was made by a broken tool.',
    'The dictionary is the memory that unpacking needs. Boot loaders have little, and refuse sizes that they do not know.',
  ),
  'nesting-too-deep': kind<{ limit: number }>(
    'error',
    'Too many layers inside each other',
    (a) => `More than ${a.limit} layers lie inside each other; what is further in was not read`,
    'No firmware is packed like this. Do not flash it.',
    'Each layer costs time and memory; a file can be made that has no end of them.',
  ),
  'wrapped-twice': kind<{ format: string }>(
    'warning',
    'The same wrapper twice',
    (a) => `A ${a.format} header lies inside of a ${a.format} header`,
    'Somebody wrapped a finished image again. The device will take off one header and stumble over the second: owimg strip takes one off.',
    'A device takes off one header and expects the kernel behind it.',
  ),
  'block-missing': kind<{ volume: string; block: number }>(
    'error',
    'A UBI block is missing',
    (a) => `Volume "${a.volume}" lacks its logical block ${a.block}`,
    `The image is incomplete. Do not flash it. ${again}`,
    'UBI spreads a volume over numbered blocks. Without one of them the volume cannot be read.',
  ),
  'geometry-differs': kind<{ what: string; expected: number; actual: number }>(
    'error',
    'Erase blocks of different geometry',
    (a) => `The ${a.what} of this erase block differs: expected ${a.expected}, found ${a.actual}`,
    'Two images were mixed, or the file was made for another flash chip. Do not flash it.',
    'The sizes of pages and blocks belong to the flash chip. An image for another chip cannot be attached.',
  ),
  'sequence-differs': kind<{ expected: string; actual: string }>(
    'error',
    'Erase blocks of different images',
    (a) => `This erase block carries image sequence ${a.actual}, the others ${a.expected}`,
    'UBI refuses to attach such a mixture ("bad image sequence number"). Do not flash it.',
    'Every block of one UBI image carries the same number, so that leftovers of an older image are noticed.',
  ),
  'rootfs-truncated': kind<{ claimed: number; available: number; missing: number }>(
    'error',
    'The root file system is cut off',
    (a) => `The file system needs ${a.claimed} bytes but only ${number(a.available, 'is', 'are')} there, ${number(a.missing, 'is', 'are')} missing`,
    `The file is cut off. A device would boot and fail to mount its root. Do not flash it. ${again}`,
    'The kernel starts, does not find the end of its root file system, and stops.',
  ),
  'partition-beyond-end': kind<{ partition: string; claimed: number; available: number }>(
    'note',
    'A partition reaches beyond the end of the image',
    (a) =>
      a.available === 0
        ? `The image holds nothing of ${a.partition} (${a.claimed} bytes)`
        : `The image ends inside of ${a.partition}: it holds ${a.available} of ${a.claimed} bytes`,
    'Usual for OpenWrt, which leaves out what a partition has behind its file system. If the file should hold more, compare its SHA-256 with the published one.',
    'The partition table describes the whole flash; an image need not fill it.',
  ),
  'partition-overlap': kind<{ first: string; second: string }>(
    'error',
    'Two partitions overlap',
    (a) => `${a.second} begins before ${a.first} ends`,
    `The partition table is damaged or was edited wrongly: writing to one partition would destroy the other. Do not flash it. ${again}`,
    'Whoever follows the table writes one partition over the other.',
  ),
  'backup-missing': kind<{ what: string; at: string }>(
    'note',
    'A backup is missing',
    (a) => `There is no backup of ${a.what} at ${a.at}, where it should be`,
    'Usual for OpenWrt, whose ptgen writes none by default. It boots all the same; partition tools offer to write one.',
    'A GPT disk keeps a second partition table at its end, in case that the first is damaged.',
  ),
  'backup-differs': kind<{ what: string; difference: string }>(
    'warning',
    'A backup differs',
    (a) => `The backup of ${a.what} says something else: ${a.difference}`,
    'One of the two was changed without the other. Which one counts depends on who reads it: repair it with a partition or file system tool, or use the original file.',
    'Programs disagree about which of the two tables they use, so they see different disks.',
  ),
  'configuration-missing': kind<{ name: string }>(
    'error',
    'The default configuration is missing',
    (a) => `The default configuration "${a.name}" does not exist`,
    'U-Boot will say "Could not find configuration node". The image was built wrong.',
    'U-Boot starts the parts that a configuration names. Without it, it does not know what to start.',
  ),
  'subimage-missing': kind<{ configuration: string; property: string; name: string }>(
    'error',
    'A configuration names an image that is missing',
    (a) => `The configuration "${a.configuration}" names "${a.name}" as its ${a.property}, but there is no such image`,
    'U-Boot will say "Could not find subimage node" and not boot this configuration. The image was built wrong.',
    'A configuration lists the parts that belong together: kernel, device tree, root file system.',
  ),
  'signature-key-missing': kind<{ node: string; algorithm: string; key: string }>(
    'note',
    'Signed, not verified',
    (a) => `"${a.node}" carries a signature (${a.algorithm}, key "${a.key}"); the public key lies in the boot loader, so the file alone cannot prove it`,
    undefined,
    'U-Boot checks it with a key that is built into the boot loader of the device.',
  ),
  'name-contradicts': kind<{ says: string; is: string }>(
    'warning',
    'The file name contradicts the content',
    (a) => `The file name says ${a.says}, but the content is ${a.is}`,
    'Trust the content. Somebody renamed the file, it is the wrong one of two, or its end is missing: compare its SHA-256 with the published one.',
    'People choose files by their names. Devices only look at the content.',
  ),
  'details-omitted': kind<{ fields: number; findings: number }>(
    'note',
    'Not everything is shown',
    (a) => `This layer has ${a.fields} more fields and ${a.findings} more findings than are shown`,
    undefined,
    'A damaged or hostile file can have any number of fields; the report keeps to what can be read.',
  ),
  'list-shortened': kind<{ what: string; count: number }>(
    'note',
    'Not everything is shown',
    (a) => `${a.count} more ${a.what} were read but are not shown`,
    undefined,
    'A damaged or hostile file can have any number of entries; the report keeps to what can be read.',
  ),
  'files-omitted': kind<{ limit: number }>(
    'note',
    'Not all files were looked at',
    (a) => `The file system has more files and directories than owimg looks at (${a.limit}), or they lie in too many pieces; the rest was not looked into`,
    undefined,
    'Looking into every file of a large disk image would take very long.',
  ),
  'entries-too-many': kind<{ what: string; limit: number }>(
    'error',
    'Too many entries',
    (a) => `There are more than ${a.limit} ${a.what}; the rest was not read`,
    'No firmware has that many. Do not flash it.',
    'The number is read from the file itself, so a damaged or hostile file can claim any.',
  ),

  // What a way of flashing would make of an image on a device (src/routes).
  'device-mismatch': kind<{ device: string; supported: string }>(
    'error',
    'The image is for other devices',
    (a) => `The image does not name this device: it is for ${a.supported}, not for ${a.device}`,
    'The device will say "Device … not supported by this image". Do not force it: get the image of your own device.',
    'sysupgrade compares these names as text. An image for another device is written all the same if it is forced, and then the device does not start.',
  ),
  'device-renamed': kind<{ device: string; now: string }>(
    'warning',
    'The right device under another name',
    (a) => `The image is for the same hardware, but the running system calls itself ${a.device} and the image knows it as ${a.now}`,
    'The hardware is right, only the name has changed. The least dangerous way on is sysupgrade -F -n, which gives up the settings; restore them by hand.',
    'Boards get other names from one release to the next, and the list in the image does not always keep the old one.',
  ),
  'identity-mismatch': kind<{ source: string; value: string; device: string; other: string }>(
    'error',
    'A part of the image is for another device',
    (a) => `${a.source} says ${a.value}, which is ${a.other}, not ${a.device}`,
    'Whatever the rest of the file says, this part was built for other hardware. Do not flash it.',
    'Metadata is a line of text that anybody can change; ids, directories and device trees come from the build.',
  ),
  'layout-mismatch': kind<{ what: string; expected: string; actual: string; device: string }>(
    'error',
    'Not built like the images of this device',
    (a) => `${a.what} is not as OpenWrt builds it for ${a.device}: expected ${a.expected}, found ${a.actual}`,
    'The image is of another kind or for another device. Use the file that OpenWrt builds for yours.',
    'OpenWrt builds each image by a recipe, and the boot loader and the kernel look for each part where the recipe puts it.',
  ),
  'header-mismatch': kind<{ field: string; expected: string; actual: string; device: string }>(
    'error',
    'A header value of another device',
    (a) => `${a.field} in the header is ${a.actual}; ${a.device} wants ${a.expected}`,
    'The vendor firmware or the boot loader compares this value and refuses the file. Get the image of your own device and region.',
    'This value exists to keep a file away from the wrong device.',
  ),
  'boot-magic-mismatch': kind<{ expected: string; actual: string; words: string }>(
    'error',
    'The boot loader would not find its magic number',
    (a) => `The boot loader looks for ${a.expected} at the start of the firmware partition and would find ${a.actual}: ${a.words}`,
    'Do not write this file to the partition. Use the sysupgrade image, with sysupgrade.',
    'The boot loader reads the first bytes of the firmware partition. If they are not the ones it knows it stops, usually with "Bad Magic Number". A raw write checks nothing of this.',
  ),
  'metadata-missing': kind<{ required: string }>(
    'error',
    'No metadata for sysupgrade',
    (a) => `The image has no valid metadata at its end; ${a.required}`,
    'sysupgrade will say "Image metadata not present". Use the file with "sysupgrade" in its name, complete and unchanged.',
    'Without metadata the running system cannot tell for which device the image is. On most targets it refuses; on the others it writes whatever it gets.',
  ),
  'compat-version-major': kind<{ device: string; image: string; message: string }>(
    'error',
    'Another major compat version',
    (a) => `The running system has compat version ${a.device}, the image ${a.image}: sysupgrade is not possible between them.${a.message}`,
    'Do not force it: the layout of the flash has changed. Follow the steps on the page of your device, usually a fresh install.',
    'The number is raised when the flash is divided in another way. An image of the new layout, written over the old one, does not start.',
  ),
  'compat-version-minor': kind<{ device: string; image: string; message: string }>(
    'warning',
    'Another minor compat version',
    (a) => `The running system has compat version ${a.device}, the image ${a.image}: the settings cannot be taken over.${a.message}`,
    'Upgrade without keeping the settings: sysupgrade -n.',
    'The number is raised when settings of the old system mean something else in the new one, as the names of network ports.',
  ),
  'platform-check-failed': kind<{ says: string; why: string }>(
    'error',
    'The platform refuses the image',
    (a) => `The running system will say "${a.says}": ${a.why}`,
    'The check is the last one in front of the flash. Do not force it: use the sysupgrade image of this device.',
    'Each target has a last check of its own, because some devices take only one exact form of image.',
  ),
  'image-too-big': kind<{ length: number; limit: number; where: string }>(
    'error',
    'The image is too big',
    (a) => `The image has ${a.length} bytes, ${a.where} takes ${a.limit}: ${a.length - a.limit} too many`,
    'Build it with fewer packages, or use an image for a device with more flash.',
    'What does not fit is cut off, or runs over what lies behind: settings, calibration data of the radio, sometimes the boot loader.',
  ),
  'kernel-too-big': kind<{ length: number; limit: number; where: string }>(
    'error',
    'The kernel is too big',
    (a) => `The kernel has ${a.length} bytes, ${a.where} takes ${a.limit}: ${a.length - a.limit} too many`,
    'The boot loader would read only a part of it. Build a smaller kernel, or see whether the device has a newer layout.',
    'The boot loader copies the kernel into memory, up to a fixed length. The rest is missing when it starts.',
  ),
  'initramfs-not-installable': kind<Record<never, never>>(
    'error',
    'An image that runs from RAM',
    () => 'The image has a kernel but no root file system behind it: it runs from RAM and stores nothing',
    'Boot it over the network to get a running OpenWrt, then install the sysupgrade image from there.',
    'Such an image unpacks itself into memory. Written to the flash, it starts at best into a system that forgets everything, and leaves no way to keep settings.',
  ),
  'kernel-missing': kind<{ found: string }>(
    'error',
    'No kernel',
    (a) => `There is no kernel in the image: it begins with ${a.found}`,
    'This is only a part of an image. Use the sysupgrade or factory image.',
    'The boot loader starts a kernel, and nothing else.',
  ),
  'signature-demanded': kind<{ present: string }>(
    'error',
    'The running system demands a signature',
    (a) => `The running system takes signed images only; ${a.present}`,
    'Use the signed image from whoever built the running system.',
    'A system can be built so that it trusts only images signed by its builder.',
  ),
  'vendor-signature-missing': kind<{ version: string; from: string; source: string }>(
    'error',
    'The vendor firmware wants a signature',
    (a) => `Version ${a.version} of the vendor firmware takes only what the vendor has signed (from ${a.from} on), and this is not: ${a.source}`,
    'Nothing can be repaired in the file. Go back to an older vendor firmware first where that is possible, or take the other way on the page of your device.',
    'With such a version the vendor locked the device to its own files. The page refuses all others before it writes.',
  ),
  'vendor-version-too-old': kind<{ version: string; since: string; source: string }>(
    'error',
    'The vendor firmware is too old for this image',
    (a) => `The vendor firmware is ${a.version}; images like this are taken from ${a.since} on: ${a.source}`,
    'Update the vendor firmware first, then install.',
    'Formats of vendor files change, and an older vendor firmware does not understand the newer ones.',
  ),
  'region-mismatch': kind<{ wanted: string; regions: string }>(
    'error',
    'The image is for another region',
    (a) => `The image is for ${a.regions}, the device was sold for ${a.wanted}`,
    'The vendor web page will say "18005", "illegal file type" or "not supported". Take the factory image of your region, or the boot loader recovery, which often does not look.',
    'Vendors sell the same hardware with other radio rules in each region, and their pages compare the region.',
  ),
  'dictionary-too-big': kind<{ length: number; limit: number }>(
    'error',
    'The LZMA dictionary is too big for the boot loader',
    (a) => `The kernel was packed with a dictionary of ${a.length} bytes; the boot loader of this device has room for ${a.limit}`,
    'The boot loader will say "LZMA ERROR 1" and not start the kernel. Build the image by the recipe of this device, which limits the dictionary.',
    'Unpacking needs as much memory as the dictionary is large, and boot loaders have a fixed place for it.',
  ),
  'file-name-not-asked': kind<{ name: string; wanted: string }>(
    'warning',
    'The boot loader asks for another file name',
    (a) => `The boot loader asks for ${a.wanted} and takes no other name; this file is called ${a.name}`,
    'Nothing is wrong with the file: offer it under the name that is asked for.',
    'The boot loader is the one who asks in this recovery, and it asks for one fixed name.',
  ),
  'dump-in-front': kind<{ format: string; offset: number }>(
    'error',
    'Something stands in front of the firmware',
    (a) =>
      `The firmware (${a.format}) begins only at ${a.offset} (${hexOffset(a.offset)}); what stands in front of it (a header, or a boot loader as in a dump of the whole flash) would come where the firmware belongs`,
    "Cut off what stands in front of the firmware and what stands behind it, and check the rest again. A dump holds the data of one single device: never write another one's.",
    'The boot loader looks for the firmware at the start of its partition, and finds what stands in front.',
  ),
  'name-too-long': kind<{ length: number; limit: number }>(
    'warning',
    'The file name is too long for the vendor web page',
    (a) => `The file name has ${a.length} characters; the web page of this vendor takes ${a.limit}`,
    'Rename the file to something short, as firmware.bin, and upload it again.',
    "The vendor's page reads the name into a field of fixed length and refuses the file without saying why.",
  ),
  'block-rollover': kind<{ length: number; blocks: number }>(
    'warning',
    'More than 65535 TFTP blocks',
    (a) => `The image needs ${a.blocks} blocks of 512 bytes; many boot loaders stop at 65535 (32 MiB)`,
    'Use a smaller image (an initramfs), or a server and a loader that agree on larger blocks.',
    'TFTP numbers its blocks with 16 bits. What happens after block 65535 was never written down, and many boot loaders stop there.',
  ),

  // What is found only when a whole build is looked at (src/audit).
  'digest-mismatch': kind<{ list: string; expected: string; actual: string }>(
    'error',
    'The file is not the published one',
    (a) => `${a.list} says SHA-256 ${a.expected}, the file has ${a.actual}`,
    'The file was changed, or is incomplete, after the list was made. Do not publish or flash it. Build or download it again.',
    'The list is how people prove that they got what was built. A file that differs is damaged, old, or was exchanged.',
  ),
  'image-missing': kind<{ list: string; name: string }>(
    'error',
    'An image is listed and not there',
    (a) => `${a.list} lists ${a.name}, which is not in the folder`,
    'The build did not finish, or the upload did not. Whoever follows the list finds nothing.',
    'Download pages, upgrade services and people follow this list.',
  ),
  'image-not-listed': kind<{ list: string }>(
    'note',
    'An image is there and not listed',
    (a) => `The file is not in ${a.list}`,
    'It may be left over from an older build. Nothing says which device it is for but the file itself.',
    'Download pages and upgrade services do not offer it, and its checksum is published nowhere.',
  ),
  'list-invalid': kind<{ list: string; reason: string }>(
    'error',
    'A list of the build cannot be read',
    (a) => `${a.list} cannot be read: ${a.reason}`,
    'The images beside it are audited by what they say themselves. Build the list again.',
    'The list says which image is for which device; without it owimg must believe the images.',
  ),
  'profile-unknown': kind<{ profile: string }>(
    'note',
    'A profile that owimg does not know',
    (a) => `The facts that come with owimg have no profile ${a.profile}: its images are checked for damage, but not for the device`,
    'It is newer than these facts, or of another project.',
    'Without the recipe of the device owimg cannot know what its image should look like.',
  ),
  'board-claimed-twice': kind<{ board: string; first: string; second: string }>(
    'warning',
    'Two profiles claim one board name',
    (a) => `The images of ${a.first} and of ${a.second} both say that they are for ${a.board}`,
    'A device with this name accepts both, and upgrade services pick one of them. Take the name out of the one that it is not.',
    'The name is all that sysupgrade compares, so the image of one device is taken by the other.',
  ),
  'board-lost': kind<{ board: string; profile: string }>(
    'error',
    'A board name was lost',
    (a) => `${a.profile} was for ${a.board} in the baseline, and is no more`,
    'Devices that call themselves so will refuse this image. Add the name to SUPPORTED_DEVICES again.',
    'A running system calls itself by its old name until it was upgraded. If the new image does not list it, the upgrade is refused and people force it.',
  ),
  'compat-version-fallen': kind<{ profile: string; before: string; now: string }>(
    'error',
    'The compat version has fallen',
    (a) => `${a.profile} had compat version ${a.before} in the baseline and has ${a.now} now`,
    'Devices with the old version will refuse this image, and some will be forced and bricked. Set DEVICE_COMPAT_VERSION again.',
    'The versions are compared as text, and any difference counts: a lower one is refused like a higher one.',
  ),
  'kernel-near-limit': kind<{ length: number; limit: number; percent: number }>(
    'warning',
    'The kernel is near its limit',
    (a) => `The kernel has ${a.length} bytes, ${a.percent} % of the ${a.limit} that there is room for`,
    'The next kernel will not fit. See whether the device has a newer layout.',
    'Kernels grow with every release. One that does not fit any more bricks on boot loaders that read a fixed length.',
  ),

  // An answer that reports made of findings could not show otherwise.
  'verdict-negative': kind<{ name: string; message: string }>(
    'error',
    'The verdict is no',
    (a) => `${a.name}: ${a.message}`,
    'owimg check FILE --device D tells all ways of flashing, and what to type next.',
    'At least one way of flashing that was asked for would be refused, or would leave a device that does not start.',
  ),
  'verdict-open': kind<{ name: string; message: string }>(
    'warning',
    'owimg cannot tell',
    (a) => `${a.name}: ${a.message}`,
    'Never read it as good. Name the device, or see docs/formats.md for what is read.',
    'Something is missing that decides it: the device, a format, or a fact about the device.',
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
