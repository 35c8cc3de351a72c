/**
 * `npm run bench:convert`: what `owimg to-factory` costs as a whole process, against `cp`, an empty Node and the digests that it must
 * compute, and against the reference tool where it is installed.
 *
 * Prints the table of docs/benchmarks.md. Exit status 1 if the goal is missed.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formats } from '../formats/index.ts';
import { loadDeviceFacts } from '../src/devices/load.ts';
import { compose } from '../src/recipes/interpreter.ts';
import { kernel, noise } from './images.ts';
import { installed, type Measured, measure } from './measure.ts';

const owimg = fileURLToPath(new URL('../dist/bin/owimg.js', import.meta.url));
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const ms = ({ milliseconds }: Measured): string => milliseconds.toFixed(0);
const limit = 2;

/** One of each kind of conversion: a header put around, kernel and root file system put together anew, a UBI made of a tar. */
const devices = [
  { profile: 'keenetic_kn-3211', how: 'a trailer behind the same bytes', length: 16 },
  { profile: 'tplink_archer-c7-v5', how: 'recomposed', length: 14 },
  { profile: '8dev_rambutan', how: 'sysupgrade tar to UBI', length: 16 },
];
const mebi = 1024 * 1024;

function rootfs(length: number, folder: string): Uint8Array {
  const [source, packed] = [join(folder, 'root'), join(folder, 'root.squashfs')];
  execFileSync('mkdir', ['-p', source]);
  writeFileSync(join(source, 'noise'), noise(length, 7));
  execFileSync('mksquashfs', [source, packed, '-noappend', '-nopad', '-noD', '-noF', '-mkfs-time', '1700000000', '-all-time', '1700000000'], {
    stdio: 'ignore',
  });
  const bytes = readFileSync(packed);
  rmSync(packed);
  return new Uint8Array(bytes);
}

const folder = mkdtempSync(join(tmpdir(), 'owimg-bench-'));
const missed: string[] = [];
try {
  const { devices: all, safeloaderBoards } = await loadDeviceFacts();
  say(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}; median of whole processes, ms\n`);
  say('| sysupgrade image | conversion | owimg to-factory | node -e 0 | cp | digests | owimg / (node + cp + digests) | ubinize |');
  say('|---|---|---|---|---|---|---|---|');
  for (const { profile, how, length } of devices) {
    const device = all.find((entry) => entry.profile === profile);
    const image = device?.images.find(({ role }) => role === 'sysupgrade');
    const factory = device?.images.find(({ role }) => role === 'factory');
    if (device === undefined || image === undefined || factory === undefined) throw new Error(`No images of ${profile}`);
    const parts = new Map([
      ['kernel', kernel(2 * mebi - 0x1000, true, Number(device.variables['KERNEL_LOADADDR']))],
      ['rootfs', rootfs((length - 2) * mebi - 0x20000, folder)],
    ]);
    const build = { dist: 'OpenWrt', version: '24.10.0', revision: 'r28427-6df0e3d02a', epoch: '1700000000', linux: '6.6.99' };
    const path = join(folder, `${profile}-sysupgrade.bin`);
    const output = join(folder, `${profile}-factory.bin`);
    writeFileSync(path, (await compose({ device, image }, parts, build, { formats, boards: safeloaderBoards })).image);
    const convert = [process.execPath, owimg, 'to-factory', path, '-d', profile, '--image', factory.name, '-o', output, '-f'];
    execFileSync(convert[0] as string, convert.slice(1));
    // What has to be computed over all bytes: the digest of what was given and of what was made, and the MD5 or CRC in the image when it is made and when it is read back.
    const result = measure(
      {
        owimg: convert,
        node: [process.execPath, '-e', '0'],
        cp: ['cp', path, `${output}.copy`],
        digests: ['sh', '-c', `sha256sum ${path} ${output}; md5sum ${output} ${output}`],
      },
      11,
    );
    const ratio = result.owimg.milliseconds / (result.node.milliseconds + result.cp.milliseconds + result.digests.milliseconds);
    if (ratio > limit) missed.push(`${profile}: ${ratio.toFixed(2)}, at most ${limit}`);
    say(
      `| ${profile} | ${how} | ${ms(result.owimg)} | ${ms(result.node)} | ${ms(result.cp)} | ${ms(result.digests)} | ${ratio.toFixed(2)} | ${ubinize(factory.steps, parts)} |`,
    );
  }
  say(missed.length === 0 ? '\nThe goal is met.' : `\nMissed:\n- ${missed.join('\n- ')}`);
  process.exitCode = missed.length === 0 ? 0 : 1;
} finally {
  if (process.env.KEEP === undefined) rmSync(folder, { recursive: true, force: true });
}

/** What `ubinize` takes for the same volumes. */
function ubinize(steps: readonly string[], parts: ReadonlyMap<string, Uint8Array>): string {
  if (!steps.includes('append-ubi') || !installed('ubinize')) return '-';
  const volumes = ['kernel', 'rootfs'].map((name, index) => {
    writeFileSync(join(folder, name), parts.get(name) as Uint8Array);
    return `[${name}]\nmode=ubi\nvol_id=${index}\nvol_type=dynamic\nvol_name=${name}\nimage=${join(folder, name)}\n`;
  });
  writeFileSync(join(folder, 'ubi.cfg'), volumes.join(''));
  return ms(measure({ it: ['ubinize', '-p', '128KiB', '-m', '2048', '-o', join(folder, 'ubi.bin'), join(folder, 'ubi.cfg')] }, 5).it);
}
