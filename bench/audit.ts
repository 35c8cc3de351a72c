/**
 * `npm run bench:audit [-- --images N]`: `owimg audit` over a build of 2,000 sysupgrade images of 8 MiB, beside `sha256sum` over the same files with as many
 * processes. Prints the table of docs/benchmarks.md. Exit status 1 if the goal is missed.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fwtool } from '../formats/fwtool.ts';
import { loadDeviceFacts } from '../src/devices/load.ts';
import { kernel, noise } from './images.ts';
import { measure } from './measure.ts';

const mebi = 1024 * 1024;
/** How many images, and how many different ones: the others are links to them, which costs the readers the same. */
const { values } = parseArgs({ options: { images: { type: 'string', default: '2000' } } });
const [count, different] = [Number(values.images), 40];
const owimg = fileURLToPath(new URL('../dist/bin/owimg.js', import.meta.url));
const say = (text: string): void => void process.stdout.write(`${text}\n`);

const folder = mkdtempSync(join(tmpdir(), 'owimg-bench-'));
try {
  // A kernel, a root file system at the next 64 KiB, metadata: what most devices are upgraded with.
  const { devices } = await loadDeviceFacts();
  const device = devices.find(({ profile }) => profile === 'glinet_gl-ar150') ?? devices[0];
  if (device === undefined) throw new Error('The device facts are empty');
  const content = join(folder, 'content');
  writeFileSync(content, noise(5.5 * mebi, 4));
  const rootfs = join(folder, 'root.squashfs');
  execFileSync('mksquashfs', [content, rootfs, '-noappend', '-quiet', '-no-progress']);
  const packed = kernel(2 * mebi, true);
  const start = Math.ceil(packed.length / 65_536) * 65_536;
  const image = new Uint8Array(8 * mebi).fill(0xff);
  image.set(packed);
  image.set(readFileSync(rootfs), start);
  const metadata = {
    metadata_version: '1.1',
    compat_version: '1.0',
    supported_devices: device.boards,
    version: { dist: 'OpenWrt', version: 'SNAPSHOT', revision: 'r0', target: device.target, board: device.profile },
  };
  const data = new Uint8Array([...new Uint8Array(8), ...new TextEncoder().encode(JSON.stringify(metadata))]);

  const build = join(folder, 'targets');
  mkdirSync(build);
  const images: { name: string; type: string; sha256: string }[] = [];
  for (let index = 0; index < count; index += 1) {
    const name = `image-${String(index).padStart(4, '0')}-squashfs-sysupgrade.bin`;
    const of = images[index - different];
    if (of !== undefined) {
      linkSync(join(build, images[index % different]?.name as string), join(build, name));
      images.push({ ...of, name });
      continue;
    }
    image[8 * mebi - 1] = index;
    const whole = Buffer.concat([image, fwtool.build?.({ image, chunks: [{ type: 1, data }] }) as Uint8Array]);
    writeFileSync(join(build, name), whole);
    images.push({ name, type: 'sysupgrade', sha256: createHash('sha256').update(whole).digest('hex') });
  }
  const profiles = { [device.profile]: { supported_devices: device.boards, images } };
  writeFileSync(join(build, 'profiles.json'), JSON.stringify({ target: device.target, profiles }));

  const jobs = availableParallelism();
  const result = measure(
    {
      owimg: [process.execPath, owimg, 'audit', build],
      sha256sum: ['sh', '-c', `find ${build} -name '*.bin' -print0 | xargs -0 -n 50 -P ${jobs} sha256sum`],
    },
    3,
  );
  const ratio = result.sha256sum.milliseconds / result.owimg.milliseconds;
  const speed = (milliseconds: number): string => ((count * 8) / (milliseconds / 1000)).toFixed(0);
  say(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}; median of whole runs, ${jobs} workers and ${jobs} processes\n`);
  say(`| ${count} images of 8 MiB | seconds | MiB/s | peak MiB |`);
  say('|---|---|---|---|');
  for (const [name, { milliseconds, peakKib }] of Object.entries(result)) {
    say(
      `| ${name === 'owimg' ? 'owimg audit' : name} | ${(milliseconds / 1000).toFixed(1)} | ${speed(milliseconds)} | ${peakKib === null ? '?' : (peakKib / 1024).toFixed(0)} |`,
    );
  }
  say(`\nowimg audit has ${ratio.toFixed(2)} of the speed of sha256sum; to reach: 0.50`);
  process.exitCode = ratio >= 0.5 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
