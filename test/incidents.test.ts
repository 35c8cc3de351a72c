/**
 * What happened to people, made again: for each class of failure an image with the fault, the device, the way, and the verdict that would
 * have saved the device. docs/incidents.md is the same table for readers.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync, inflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { netgearDni } from '../formats/netgear-dni.ts';
import { sysupgradeTar } from '../formats/sysupgrade-tar.ts';
import { tplinkSafeloader } from '../formats/tplink-safeloader.ts';
import { tplinkV1 } from '../formats/tplink-v1.ts';
import { tplinkV2 } from '../formats/tplink-v2.ts';
import { uimage } from '../formats/uimage.ts';
import { checkContext, checkWith } from '../src/check.ts';
import type { Device } from '../src/devices/facts.ts';
import { loadDeviceFacts } from '../src/devices/load.ts';
import { type FindingCode, formats, inspect } from '../src/index.ts';
import type { Running } from '../src/routes/subject.ts';
import type { Outcome, Route } from '../src/routes/verdict.ts';
import { readFixtureFile } from './support/fixtures.ts';
import { erased, imageNames, joined, loadImage, rebuilt, withMetadata, withoutMetadata } from './support/images.ts';

type Bytes = Uint8Array<ArrayBufferLike>;

interface Incident {
  /** Where it is told. */
  readonly reference: string;
  readonly story: string;
  /** Of test/images. */
  readonly image: string;
  readonly change?: (image: Bytes) => Bytes;
  /** The file's name, where it matters. */
  readonly name?: string;
  readonly device: string;
  readonly route: Route;
  readonly running?: Running;
  readonly outcome: Outcome;
  readonly code?: FindingCode;
  /** All of them stand in the reason, in what is taken for granted or in the next step. */
  readonly words: readonly string[];
}

const facts = await loadDeviceFacts();
const context = checkContext(formats, facts);
const deviceOf = (profile: string): Device => facts.devices.find((device) => device.profile === profile) as Device;

const c7 = 'tplink_archer-c7-v5';
const c7Factory = `${c7}-factory.bin`;
const c7Sysupgrade = `${c7}-sysupgrade.bin`;

/** The image with one bit of a byte changed, under metadata that is right again. */
const damaged =
  (offset: number, supported: readonly string[]) =>
  (image: Bytes): Bytes => {
    const bytes = withoutMetadata(image).slice();
    bytes[offset] = (bytes[offset] as number) ^ 1;
    return withMetadata(bytes, { supported_devices: supported });
  };

/** The image filled up to a length, under metadata that is right again. */
const filledUpTo =
  (length: number, supported: readonly string[]) =>
  (image: Bytes): Bytes => {
    const bare = withoutMetadata(image);
    return withMetadata(joined(bare, erased(length - bare.length)), { supported_devices: supported });
  };

/** A uImage with a kernel of this length. */
const kernelOf =
  (length: number) =>
  (image: Bytes): Bytes =>
    rebuilt(uimage, image, ({ data }) => ({ data: joined(data, new Uint8Array(length - data.length)) }));

/** TP-Link's own images for the web page: header, boot loader, and the firmware with a header of its own. */
const withBootLoader =
  (format: typeof tplinkV1 | typeof tplinkV2) =>
  (image: Bytes): Bytes => {
    const firmware = withoutMetadata(image);
    const boot = erased(0x20000).fill(0x3c, 0, 0x8000);
    const body = joined(boot, firmware);
    const change = () => ({ bootOffset: 0, bootLength: boot.length, body, kernelOffset: 0, kernelLength: 0, rootfsOffset: 0, rootfsLength: 0 });
    return rebuilt(format as typeof tplinkV1, firmware, change as never);
  };

const incidents: Readonly<Record<string, readonly Incident[]>> = {
  K1: [
    {
      reference: 'forum "Sysupgrade vs factory image upgrade"',
      story: 'Archer C7 v5 factory written with mtd -> bricks, Bad Magic Number',
      image: c7Factory,
      device: c7,
      route: 'mtd',
      outcome: 'bricks',
      code: 'boot-magic-mismatch',
      words: ['looks for a uImage header', 'SafeLoader', 'Bad Magic Number', 'sysupgrade instead'],
    },
    {
      reference: 'forum "Sysupgrade vs factory image upgrade"',
      story: 'TL-WR1043ND v2 factory with mtd -> installs, which is where the habit came from',
      image: 'tplink_tl-wr1043nd-v2-factory.bin',
      device: 'tplink_tl-wr1043nd-v2',
      route: 'mtd',
      outcome: 'installs',
      words: ["begins with TP-Link's header, which the boot loader looks for there"],
    },
    {
      reference: 'openwrt/openwrt#12173',
      story: 'Archer C7 v5 factory given to sysupgrade, forced, bricked',
      image: c7Factory,
      device: c7,
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'metadata-missing',
      words: ['no valid metadata', 'Do not force it: it would be written, and not boot', 'Use the sysupgrade image'],
    },
    {
      reference: 'openwrt/openwrt#17239',
      story: 'Extreme AP3935: nand-factory.bin given to sysupgrade',
      image: 'extreme_ap3935-nand-factory.bin',
      device: 'extreme_ap3935',
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'metadata-missing',
      words: ['Do not force it'],
    },
    {
      reference: 'forum.openwrt.org/t/165250',
      story: "Archer C2 v1: sysupgrade image on the vendor's web page, dead",
      image: 'tplink_archer-c2-v1-sysupgrade.bin',
      device: 'tplink_archer-c2-v1',
      route: 'stock',
      outcome: 'bricks',
      words: ['boot loader in front', 'OpenWrt builds none'],
    },
    {
      reference: 'forum.openwrt.org/t/58248',
      story: 'Linksys E1700: its TFTP takes the file and starts nothing',
      image: 'linksys_e1700-factory.bin',
      device: 'linksys_e1700',
      route: 'tftp',
      outcome: 'unknown',
      words: ['not recorded'],
    },
    {
      reference: 'adrian.idv.hk/2022-03-04-openwrt',
      story: 'a blog teaches to force a factory image through sysupgrade',
      image: 'netgear_wndr3700-v2-factory.img',
      device: 'netgear_wndr3700-v2',
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'metadata-missing',
      words: ['Do not force it'],
    },
    {
      reference: 'libremesh/chef#3',
      story: 'a factory image is no sysupgrade image: D-Link DIR-842 C1 with mtd',
      image: 'dlink_dir-842-c1-factory.bin',
      device: 'dlink_dir-842-c1',
      route: 'mtd',
      outcome: 'bricks',
      words: ['expected uimage, found seama'],
    },
    {
      reference: 'vanaware/openwrt#2',
      story: "sysupgrade image on the vendor's web page",
      image: c7Sysupgrade,
      device: c7,
      route: 'stock',
      outcome: 'refused',
      code: 'layout-mismatch',
      words: ['expected tplink-safeloader', 'Use factory.bin'],
    },
  ],
  K2: [
    {
      reference: 'openwrt/openwrt#10010',
      story: 'running from initramfs, the settings lost at each start',
      image: `${c7}-initramfs-kernel.bin`,
      device: c7,
      route: 'ram',
      outcome: 'boots',
      words: ['Nothing is stored', 'install with sysupgrade'],
    },
    {
      reference: 'openwrt/luci#1812',
      story: 'NanoStation Loco M: an initramfs was written, nothing is ever saved',
      image: 'ubnt_nanostation-loco-m-initramfs-kernel.bin',
      device: 'ubnt_nanostation-loco-m',
      route: 'mtd',
      outcome: 'bricks',
      code: 'initramfs-not-installable',
      words: ['runs from RAM and stores nothing'],
    },
    {
      reference: 'acecilia/OpenWRTInvasion#209',
      story: 'Mi Router 4A: stuck in initramfs, sysupgrade from there bricks',
      image: 'xiaomi_mi-router-4a-gigabit-initramfs-kernel.bin',
      change: (image) => withMetadata(image, { supported_devices: ['xiaomi,mi-router-4a-gigabit'] }),
      device: 'xiaomi_mi-router-4a-gigabit',
      route: 'sysupgrade',
      outcome: 'bricks',
      code: 'initramfs-not-installable',
      words: ['run from RAM at every start'],
    },
    {
      reference: 'dangowrt/owrt-ubi-installer#163',
      story: 'recovery.itb given to sysupgrade, dark router',
      image: 'abt_asr3000-initramfs-recovery.itb',
      change: (image) => withMetadata(image, { supported_devices: ['abt,asr3000'] }),
      device: 'abt_asr3000',
      route: 'sysupgrade',
      outcome: 'bricks',
      code: 'initramfs-not-installable',
      words: ['no setting would last'],
    },
    {
      reference: 'dangowrt/owrt-ubi-installer#118',
      story: 'recovery.itb started: the system that runs is not installed',
      image: 'abt_asr3000-initramfs-recovery.itb',
      device: 'abt_asr3000',
      route: 'ram',
      outcome: 'boots',
      words: ['Nothing is stored'],
    },
    {
      reference: 'openwrt/luci#5266',
      story: 'initramfs uploaded in LuCI',
      image: `${c7}-initramfs-kernel.bin`,
      device: c7,
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'metadata-missing',
      words: ['Do not force it'],
    },
  ],
  K3: [
    {
      reference: 'openwrt/openwrt#2184',
      story: 'GL-AR300M: the tar for NAND on the NOR system, which its metadata lets in',
      image: 'glinet_gl-ar300m-nand-sysupgrade.bin',
      device: 'glinet_gl-ar300m-nor',
      route: 'sysupgrade',
      outcome: 'bricks',
      code: 'layout-mismatch',
      words: ['would take it', 'GL.iNet GL-AR300M NAND, not GL.iNet GL-AR300M NOR', 'expected uimage, found sysupgrade-tar'],
    },
    {
      reference: 'OpenIPC/firmware#2012',
      story: 'GL-AR300M: the NOR image on the NAND system',
      image: 'glinet_gl-ar300m-nor-sysupgrade.bin',
      device: 'glinet_gl-ar300m-nand',
      route: 'sysupgrade',
      outcome: 'bricks',
      code: 'layout-mismatch',
      words: ['GL.iNet GL-AR300M NOR, not GL.iNet GL-AR300M NAND', 'expected sysupgrade-tar, found uimage'],
    },
    {
      reference: 'openwrt/openwrt#637',
      story: 'R6220: nothing but the metadata stands between any file and the flash',
      image: c7Sysupgrade,
      change: (image) =>
        withMetadata(image, { compat_version: '1.1', supported_devices: ['netgear,r6220 - Image version mismatch'], new_supported_devices: ['netgear,r6220'] }),
      device: 'netgear_r6220',
      route: 'sysupgrade',
      outcome: 'bricks',
      code: 'identity-mismatch',
      words: ['would take it', 'TP-Link Archer C7 v5'],
    },
    {
      reference: 'openwrt/openwrt#22952',
      story: 'ESR1200 and ESR1750 list each other in their metadata, and have different chips',
      image: 'engenius_esr1750-sysupgrade.bin',
      device: 'engenius_esr1200',
      route: 'sysupgrade',
      outcome: 'bricks',
      code: 'identity-mismatch',
      words: ['would take it', 'engenius,esr1750'],
    },
    {
      reference: 'freifunk-gluon/gluon#629',
      story: 'TL-WR841 v9 image on a v10: hardware id mismatch',
      image: 'tplink_tl-wr841-v9-factory.bin',
      device: 'tplink_tl-wr841-v10',
      route: 'stock',
      outcome: 'refused',
      code: 'header-mismatch',
      words: ['hardwareId in the header is 0x08410009', '0x08410010'],
    },
    {
      reference: 'mark.mckillen.com 2014/01',
      story: 'TL-WR741ND: the image of another board written, serial rescue',
      image: 'tplink_tl-wr841-v9-factory.bin',
      device: 'tplink_tl-wr741-v1',
      route: 'mtd',
      outcome: 'bricks',
      code: 'identity-mismatch',
      words: ['tplink,tl-wr841-v9'],
    },
    {
      reference: 'xieyaxiongfly/OpenWRT_firmware#4',
      story: 'WDR4300: the image of another market, the check failed, forced, bricked',
      image: 'tplink_tl-wdr4300-v1-il-sysupgrade.bin',
      device: 'tplink_tl-wdr4300-v1',
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'device-mismatch',
      words: ['Do not force it: it would be written, and not boot'],
    },
  ],
  K4: [
    {
      reference: 'openwrt/openwrt#988',
      story: 'Archer C20 v1 calls itself tplink,c20-v1, the image knows it by another name',
      image: 'tplink_archer-c20-v1-sysupgrade.bin',
      change: (image) => withMetadata(image, { supported_devices: ['tplink,archer-c20-v1'] }),
      device: 'tplink_archer-c20-v1',
      route: 'sysupgrade',
      running: { board: 'tplink,c20-v1' },
      outcome: 'refused',
      code: 'device-renamed',
      words: ['image of this very hardware', 'sysupgrade -F -n'],
    },
    {
      reference: 'freifunk-gluon/gluon#3836',
      story: 'a node on an old release refuses the image of its own hardware every hour',
      image: c7Sysupgrade,
      change: (image) => withMetadata(image, { supported_devices: ['tplink,archer-c7-v5'] }),
      device: c7,
      route: 'sysupgrade',
      running: { board: 'archer-c7-v5' },
      outcome: 'refused',
      code: 'device-renamed',
      words: ['another name now', 'sysupgrade -F -n'],
    },
    {
      reference: 'openwrt/openwrt#20966',
      story: 'the check on NAND wants the directory of the tar to have the name, whatever the metadata lists',
      image: 'asus_tuf-ax4200-sysupgrade.bin',
      change: (image) => withMetadata(image, { supported_devices: ['asus,tuf-ax4200', 'asus,tuf-ax4200-v1'] }),
      device: 'asus_tuf-ax4200',
      route: 'sysupgrade',
      running: { board: 'asus,tuf-ax4200-v1' },
      outcome: 'refused',
      code: 'platform-check-failed',
      words: ['image of this very hardware', 'sysupgrade -F -n'],
    },
    {
      reference: 'openwrt/openwrt#11856',
      story: 'the board has another name in the new release (there DIR-825 B1): the image is refused by its own device',
      image: 'linksys_ea8500-sysupgrade.bin',
      change: (image) => withMetadata(image, { compat_version: '2.1', supported_devices: ['-'], new_supported_devices: ['linksys,ea8500'] }),
      device: 'linksys_ea8500',
      route: 'sysupgrade',
      running: { board: 'ea8500' },
      outcome: 'refused',
      code: 'device-renamed',
      words: ['sysupgrade -F -n'],
    },
  ],
  K5: [
    {
      reference: 'openwrt/openwrt#24160',
      story: 'FG-30E: a release lost its compat version, 2.0 -> 1.0',
      image: 'fortinet_fg-30e-sysupgrade.bin',
      device: 'fortinet_fg-30e',
      route: 'sysupgrade',
      running: { compatVersion: '2.0' },
      outcome: 'refused',
      code: 'compat-version-major',
      words: ['has compat version 2.0, the image 1.0'],
    },
    {
      reference: 'openwrt/openwrt#18523',
      story: 'GS1900: 1.0 -> 2.0, two firmware partitions became one',
      image: 'zyxel_gs1900-8hp-b2-sysupgrade.bin',
      device: 'zyxel_gs1900-8hp-b2',
      route: 'sysupgrade',
      running: { compatVersion: '1.0' },
      outcome: 'refused',
      code: 'compat-version-major',
      words: ['has compat version 1.0', 'sysupgrade is not possible'],
    },
    {
      reference: 'openwrt/openwrt#11145',
      story: 'EA8500: check failed, forced, bricked: the kernel partition had grown',
      image: 'linksys_ea8500-sysupgrade.bin',
      device: 'linksys_ea8500',
      route: 'sysupgrade',
      running: { compatVersion: '1.0' },
      outcome: 'refused',
      code: 'compat-version-major',
      words: ['the image 2.1', 'Its message: "Config cannot be migrated from swconfig to DSA"'],
    },
    {
      reference: 'darkxst/erx-migration#18',
      story: 'ER-X-SFP: a restored backup brought the old compat version back',
      image: 'ubnt_edgerouter-x-sfp-sysupgrade.bin',
      device: 'ubnt_edgerouter-x-sfp',
      route: 'sysupgrade',
      running: { compatVersion: '1.1' },
      outcome: 'refused',
      code: 'compat-version-major',
      words: ['has compat version 1.1, the image 2.0'],
    },
    {
      reference: 'openwisp/openwisp-firmware-upgrader#155',
      story: 'a fleet tool that cannot leave the settings behind',
      image: 'netgear_wac124-sysupgrade.bin',
      device: 'netgear_wac124',
      route: 'sysupgrade',
      running: { compatVersion: '1.0' },
      outcome: 'installs-without-settings',
      code: 'compat-version-minor',
      words: ['the settings are lost', 'sysupgrade -n'],
    },
    {
      reference: 'freifunk-berlin/bbb-configs#116',
      story: 'a system with DSA that says 1.0: the image is not let in with settings, and owimg says what it took for granted',
      image: 'netgear_wac124-sysupgrade.bin',
      device: 'netgear_wac124',
      route: 'sysupgrade',
      outcome: 'installs',
      words: ['compat version 1.1', 'if it were 1.0, only without keeping the settings', '--compat X.Y'],
    },
  ],
  K6: [
    {
      reference: 'freifunk-gluon/gluon#860',
      story: 'Archer C7 v2: 18005, the image is for another region',
      image: 'tplink_archer-c7-v2-factory-eu.bin',
      device: 'tplink_archer-c7-v2',
      route: 'stock',
      running: { region: 'US' },
      outcome: 'refused',
      code: 'region-mismatch',
      words: ['The image is for anywhere, EU, the device was sold for US (55530000)', 'Use factory-us.bin'],
    },
    {
      reference: 'freifunk-gluon/gluon#3259',
      story: 'Archer C7 v2: the generic image, which newer vendor firmware refuses',
      image: 'tplink_archer-c7-v2-factory-eu.bin',
      change: (image) => rebuilt(tplinkV1, image, () => ({ regionText1: new Uint8Array(32), regionText2: new Uint8Array(32) })),
      device: 'tplink_archer-c7-v2',
      route: 'stock',
      running: { region: 'EU' },
      outcome: 'unknown',
      code: 'region-mismatch',
      words: ['no region', 'factory-us.bin or factory-eu.bin'],
    },
    {
      reference: 'openwrt/openwrt#893',
      story: 'Archer A7 v5: "the firmware is not for this model"',
      image: c7Factory,
      device: 'tplink_archer-a7-v5',
      route: 'tftp',
      outcome: 'refused',
      code: 'header-mismatch',
      words: ['supportList in the header', 'Archer A7'],
    },
    {
      reference: 'openwrt/firmware-utils#42',
      story: 'MR70X: a special id is missing in the support list',
      image: 'mercusys_mr70x-v1-factory.bin',
      device: 'mercusys_mr70x-v1',
      route: 'stock',
      running: { region: 'AU' },
      outcome: 'refused',
      code: 'region-mismatch',
      words: ['AU (41550000)'],
    },
    {
      reference: 'openwrt/openwrt#3683',
      story: 'Archer A7 v5 of another market cannot be flashed with the official build (here: Brazil)',
      image: c7Factory,
      device: c7,
      route: 'stock',
      running: { region: 'BR' },
      outcome: 'refused',
      code: 'region-mismatch',
      words: ['BR (42520000)'],
    },
    {
      reference: 'libremesh/libremesh.github.io#15',
      story: "TP-Link's page refuses file names of more than 64 characters",
      image: c7Factory,
      name: 'lime-2020.1-ath79-generic-tplink_archer-c7-v5-squashfs-factory-with-a-long-name.bin',
      device: c7,
      route: 'stock',
      outcome: 'refused',
      code: 'name-too-long',
      words: ['takes 64', 'Rename'],
    },
    {
      reference: 'openwrt/openwrt#269',
      story: 'WNR2000v3: hardware id and model must be those of the device',
      image: 'netgear_wndr3700-v2-factory.img',
      change: (image) => rebuilt(netgearDni, image, ({ lines }) => ({ lines: lines.map(([key, value]) => [key, key === 'hd_id' ? '29763948+0+128' : value]) })),
      device: 'netgear_wndr3700-v2',
      route: 'stock',
      outcome: 'refused',
      code: 'header-mismatch',
      words: ['hd_id in the header is 29763948+0+128'],
    },
  ],
  K7: [
    {
      reference: 'openwrt/openwrt#423',
      story: 'UniFi AP: vendor firmware from 3.4.14 on checks signatures',
      image: 'ubnt_unifi-ap-factory.bin',
      device: 'ubnt_unifi-ap',
      route: 'stock',
      running: { stockVersion: '3.7.58' },
      outcome: 'refused',
      code: 'vendor-signature-missing',
      words: ['3.7.58', 'older version of the vendor firmware first'],
    },
    {
      reference: 'freifunk-gluon/gluon#1370',
      story: 'NanoStation Loco M2: the boot loader of AirOS 5.6 and our image',
      image: 'ubnt_nanostation-loco-m-factory.bin',
      device: 'ubnt_nanostation-loco-m',
      route: 'tftp',
      running: { stockVersion: '5.6.15' },
      outcome: 'bricks',
      code: 'vendor-signature-missing',
      words: ['bricked like this', 'AirOS 5.5'],
    },
    {
      reference: 'openwrt/openwrt#689',
      story: 'NanoStation AC: web page and boot loader both demand a signature',
      image: 'ubnt_nanostation-ac-factory.bin',
      device: 'ubnt_nanostation-ac',
      route: 'tftp',
      running: { stockVersion: 'WA.v8.7.4' },
      outcome: 'refused',
      code: 'vendor-signature-missing',
      words: ['patched fwupdate'],
    },
    {
      reference: 'dangowrt/owrt-ubi-installer#102',
      story: 'RT3200 with 1.2.00: "the image file is incorrect", it takes only signed installers',
      image: 'abt_asr3000-initramfs-recovery.itb',
      device: 'linksys_e8450',
      route: 'stock',
      running: { stockVersion: '1.2.00.273012' },
      outcome: 'refused',
      code: 'vendor-signature-missing',
      words: ['_signed.itb'],
    },
    {
      reference: 'openwrt/openwrt#19424',
      story: 'EWS2910P: "Image Signature Error", the vendor firmware is too old',
      image: 'zyxel_gs1900-8hp-b2-sysupgrade.bin',
      device: 'engenius_ews2910p-v1',
      route: 'stock',
      running: { stockVersion: '1.05.38' },
      outcome: 'refused',
      code: 'vendor-version-too-old',
      words: ['1.06.21'],
    },
    {
      reference: 'openwrt.org/toh/tp-link/eap615-wall',
      story: 'EAP225-Outdoor: without a version owimg says that the check has to be switched off first',
      image: 'tplink_eap225-outdoor-v1-factory.bin',
      device: 'tplink_eap225-outdoor-v1',
      route: 'stock',
      name: 'factory.bin',
      outcome: 'installs',
      words: ['cliclientd stopcs'],
    },
  ],
  K8: [
    {
      reference: 'dangowrt/owrt-ubi-installer#106',
      story: 'an unsigned image on a system that takes signed ones only',
      image: 'abt_asr3000-sysupgrade.itb',
      device: 'abt_asr3000',
      route: 'sysupgrade',
      running: { signedOnly: true },
      outcome: 'refused',
      code: 'signature-demanded',
      words: ['signed images only'],
    },
    {
      reference: 'anaelorlinski/OpenWrt-NanoPi-R2S-R4S-Builds#59',
      story: 'NanoPi R4S: the .img.gz was packed again, its metadata is gone',
      image: 'friendlyarm_nanopi-r4s-sysupgrade.img.gz',
      change: (image) => new Uint8Array(gzipSync(inflateRawSync(image.subarray(10)))),
      device: 'friendlyarm_nanopi-r4s',
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'metadata-missing',
      words: ['as it was published, packed'],
    },
    {
      reference: 'Ysurac/openmptcprouter#427',
      story: 'the .gz was unpacked; it must be uploaded packed',
      image: 'friendlyarm_nanopi-r4s-sysupgrade.img.gz',
      change: (image) => new Uint8Array(inflateRawSync(image.subarray(10))),
      device: 'friendlyarm_nanopi-r4s',
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'metadata-missing',
      words: ['as it was published, packed'],
    },
    {
      reference: 'openwrt/luci#2352',
      story: 'a sysupgrade tar, gzipped',
      image: 'glinet_gl-ar300m-nand-sysupgrade.bin',
      change: (image) => new Uint8Array(gzipSync(image)),
      device: 'glinet_gl-ar300m-nand',
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'metadata-missing',
      words: ['Unpack it first, gunzip'],
    },
    {
      reference: 'xydche/onecloud-openwrt#13',
      story: 'an image of a USB burning tool uploaded to LuCI',
      image: 'friendlyarm_nanopi-r4s-sysupgrade.img.gz',
      change: () =>
        joined(
          new TextEncoder().encode('\u0027\u0005\u0002'),
          new Uint8Array(65_536).map((_, index) => (index * 7919) >> 3),
        ),
      device: 'friendlyarm_nanopi-r4s',
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'metadata-missing',
      words: ['Use the sysupgrade image'],
    },
    {
      reference: 'openwrt-stuff/firmware-mod-kit#116',
      story: 'an image that was taken apart and put together again, without metadata',
      image: c7Sysupgrade,
      change: withoutMetadata,
      device: c7,
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'metadata-missing',
      words: ['no valid metadata'],
    },
    {
      reference: 'immortalwrt/immortalwrt#422',
      story: 'a .gz refused by LuCI: this device wants the image itself',
      image: c7Sysupgrade,
      change: (image) => new Uint8Array(gzipSync(image)),
      device: c7,
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'metadata-missing',
      words: ['Unpack it first, gunzip'],
    },
  ],
  K9: [
    {
      reference: 'openwrt/luci#2816',
      story: 'the upload loses one byte',
      image: c7Sysupgrade,
      change: (image) => image.slice(0, -1),
      device: c7,
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'metadata-missing',
      words: ['Do not force it: the file is damaged'],
    },
    {
      reference: 'openwrt/luci#2349',
      story: 'the upload takes the end of the image off',
      image: c7Sysupgrade,
      change: (image) => image.slice(0, -291),
      device: c7,
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'metadata-missing',
      words: ['no valid metadata'],
    },
    {
      reference: 'openwrt/luci#1754',
      story: 'the upload changes a byte',
      image: c7Sysupgrade,
      change: (image) => image.map((byte, index) => (index === 20_000 ? byte ^ 0x10 : byte)),
      device: c7,
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'metadata-missing',
      words: ['Do not force it: the file is damaged'],
    },
    {
      reference: 'simetnicbr/simetbox-openwrt-feed#6',
      story: 'truncated, on a target where metadata is optional: nobody on the way notices',
      image: 'ubnt_edgerouter-lite-sysupgrade.tar',
      change: (image) => image.slice(0, 100_000),
      device: 'ubnt_edgerouter-lite',
      route: 'sysupgrade',
      outcome: 'bricks',
      code: 'length-beyond-end',
      words: ['Nothing on the way stops this broken image', 'only 43168 are left'],
    },
    {
      reference: 'efahl/owut#70',
      story: 'an image of 0 bytes',
      image: c7Sysupgrade,
      change: () => new Uint8Array(0),
      device: c7,
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'metadata-missing',
      words: ['Do not force it'],
    },
    {
      reference: 'openwrt/openwrt#23414',
      story: 'a web page saved in place of the file',
      image: c7Factory,
      change: () => new TextEncoder().encode('<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n'),
      device: c7,
      route: 'stock',
      outcome: 'refused',
      code: 'not-firmware',
      words: ['an HTML page'],
    },
    {
      reference: 'jclehner/nmrpflash#1',
      story: 'the boot loader got 0x49f bytes',
      image: 'netgear_wndr3700-v2-factory.img',
      change: (image) => image.slice(0, 0x49f),
      device: 'netgear_wndr3700-v2',
      route: 'tftp',
      outcome: 'bricks',
      words: ['damaged'],
    },
    {
      reference: 'gwlim/openwrt-sfe-flowoffload-ath79#104',
      story: 'a bad download of a CHK image, on a target where metadata is optional',
      image: 'netgear_wndr3400-v1-chk',
      change: (image) => image.slice(0, 200_000),
      device: 'netgear_wndr3400-v1',
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'platform-check-failed',
      words: ['No valid TRX firmware in the CHK image'],
    },
  ],
  K10: [
    {
      reference: 'openwrt/openwrt#4410',
      story: 'HooToo TM05: by TFTP more than 7680k runs over the boot loader',
      image: 'hootoo_ht-tm05-sysupgrade.bin',
      change: filledUpTo(7_929_856, ['hootoo,ht-tm05']),
      device: 'hootoo_ht-tm05',
      route: 'tftp',
      outcome: 'bricks',
      code: 'image-too-big',
      words: ["the boot loader's recovery", 'takes 7864320', 'write over itself'],
    },
    {
      reference: 'openwrt/openwrt#4410',
      story: 'HooToo TM05: the same file is not too big for sysupgrade, which writes two partitions',
      image: 'hootoo_ht-tm05-sysupgrade.bin',
      change: filledUpTo(7_929_856, ['hootoo,ht-tm05']),
      device: 'hootoo_ht-tm05',
      route: 'sysupgrade',
      outcome: 'installs',
      words: ['built as OpenWrt builds'],
    },
    {
      reference: 'openwrt/openwrt#2187',
      story: 'CPE610: an image larger than the partition',
      image: 'tplink_cpe610-v2-sysupgrade.bin',
      change: filledUpTo(7_929_856, ['tplink,cpe610-v2']),
      device: 'tplink_cpe610-v2',
      route: 'sysupgrade',
      outcome: 'bricks',
      code: 'image-too-big',
      words: ['65536 too many'],
    },
    {
      reference: 'openwrt/openwrt#21158',
      story: 'a SafeLoader image that holds more than the firmware partition takes',
      image: 'mercusys_mr70x-v1-factory.bin',
      change: (image) =>
        rebuilt(tplinkSafeloader, image, ({ partitions }) => ({
          partitions: partitions.map((entry) => (entry.name === 'file-system' ? { ...entry, data: joined(entry.data, erased(16_121_856)) } : entry)),
        })),
      device: 'mercusys_mr70x-v1',
      route: 'stock',
      outcome: 'bricks',
      code: 'image-too-big',
      words: ['the firmware partition takes 16121856'],
    },
    {
      reference: 'OpenIPC/firmware#2426',
      story: 'image larger than the partition, the writer stops half-way and says success',
      image: 'glinet_gl-ar300m-nor-sysupgrade.bin',
      change: filledUpTo(16_449_536, ['glinet,gl-ar300m-nor']),
      device: 'glinet_gl-ar300m-nor',
      route: 'mtd',
      outcome: 'bricks',
      code: 'image-too-big',
      words: ['takes 16384000'],
    },
  ],
  K11: [
    {
      reference: 'openwrt/openwrt#2645',
      story: 'HooToo TM05: the boot loader reads 1.5 MB of a kernel',
      image: 'hootoo_ht-tm05-sysupgrade.bin',
      change: (image) => {
        const slice = withoutMetadata(image);
        return rebuilt(uimage, slice, ({ data }) => ({ magic: 0x27051956, data: joined(data, new Uint8Array(1_572_864)) }));
      },
      device: 'hootoo_ht-tm05',
      route: 'mtd',
      outcome: 'bricks',
      code: 'kernel-too-big',
      words: ['the boot loader', 'takes 1572864', 'issues/2645'],
    },
    {
      reference: 'openwrt/openwrt#4249',
      story: 'D-Link DWR-921 and other JBoot routers: a kernel above 2048k freezes the loader',
      image: 'hootoo_ht-tm05-sysupgrade.bin',
      change: (image) => {
        const filler = ({ data }: { data: Bytes }) => new Uint8Array(data.length + 33 * 65_536).fill(0x5a);
        const slice = rebuilt(uimage, withoutMetadata(image), (input) => ({ magic: 0x27051956, compression: 0, data: filler(input) }));
        return withMetadata(slice, { supported_devices: ['dlink,dwr-921-c1'] });
      },
      device: 'dlink_dwr-921-c1',
      route: 'sysupgrade',
      outcome: 'bricks',
      code: 'kernel-too-big',
      words: ['takes 2097152', 'issues/4249'],
    },
    {
      reference: 'openwrt/openwrt#9319',
      story: 'EA8500: the kernel outgrew its partition',
      image: 'linksys_ea8500-sysupgrade.bin',
      change: (image) => {
        const tar = rebuilt(sysupgradeTar, withoutMetadata(image), ({ kernel }) => ({ kernel: kernelOf(4_300_000)(kernel as Bytes) }));
        return withMetadata(tar, { compat_version: '2.1', supported_devices: ['-'], new_supported_devices: ['linksys,ea8500'] });
      },
      device: 'linksys_ea8500',
      route: 'sysupgrade',
      outcome: 'bricks',
      code: 'kernel-too-big',
      words: ['the kernel partition takes 4194304'],
    },
    {
      reference: 'openwrt/openwrt#19795',
      story: 'Archer C7 v2: the loader dies with an initramfs of 5608924 bytes',
      image: 'tplink_archer-c7-v2-initramfs-kernel.bin',
      change: (image) =>
        rebuilt(tplinkV1, image, ({ body }) => ({ body: joined(body, new Uint8Array(5_608_924 - 512 - body.length)), kernelLength: 5_608_924 - 512 })),
      device: 'tplink_archer-c7-v2',
      route: 'ram',
      outcome: 'refused',
      code: 'kernel-too-big',
      words: ['5608924 bytes', 'nothing is written', 'issues/19795'],
    },
    {
      reference: 'openwrt/openwrt#11109',
      story: 'MR16: an initramfs of 5610218 bytes does not start',
      image: 'meraki_mr16-initramfs-kernel.bin',
      change: kernelOf(5_610_218 - 64),
      device: 'meraki_mr16',
      route: 'ram',
      outcome: 'refused',
      code: 'kernel-too-big',
      words: ['5610218 bytes', 'issues/11109'],
    },
    {
      reference: 'openwrt/openwrt#2658',
      story: 'a dictionary that the boot loader has no room for: WNDR4700, whose recipe says -d16',
      image: 'netgear_wndr4700-sysupgrade.bin',
      change: (image) => {
        const tar = rebuilt(sysupgradeTar, withoutMetadata(image), ({ kernel }) => {
          const dtbLength = 425;
          const larger = rebuilt(uimage, kernel as Bytes, ({ data }) => ({ data: data.map((byte, index) => [byte, 0, 0, 0x80, 0][index] ?? byte) }), dtbLength);
          return { kernel: larger };
        });
        return withMetadata(tar, { compat_version: '3.0', supported_devices: ['-'], new_supported_devices: ['netgear,wndr4700'] });
      },
      device: 'netgear_wndr4700',
      route: 'sysupgrade',
      outcome: 'bricks',
      code: 'dictionary-too-big',
      words: ['8388608', '65536'],
    },
    {
      reference: 'openwrt/openwrt#13260',
      story: 'RouterStation: "\'kernel\' size is not a multiple of block size 0x10000! Abort."',
      image: 'ubnt_routerstation-sysupgrade.bin',
      change: (image) => {
        const tar = rebuilt(sysupgradeTar, withoutMetadata(image), ({ kernel }) => ({ kernel: (kernel as Bytes).slice(0, 100_000) }));
        return withMetadata(tar, { compat_version: '2.0', supported_devices: ['-'], new_supported_devices: ['ubnt,routerstation'] });
      },
      device: 'ubnt_routerstation',
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'platform-check-failed',
      words: ['not a multiple of block size 0x10000', '100000 bytes'],
    },
  ],
  K12: [
    {
      reference: 'openwrt/openwrt#10511',
      story: 'an image from the ImageBuilder whose kernel has a wrong checksum, under good metadata: "Bad Data CRC"',
      image: c7Sysupgrade,
      change: damaged(20_000, ['tplink,archer-c7-v5']),
      device: c7,
      route: 'sysupgrade',
      outcome: 'bricks',
      code: 'data-checksum-mismatch',
      words: ['Nothing on the way stops this broken image', 'checksum over the data is wrong'],
    },
    {
      reference: 'openwrt/openwrt#13716',
      story: 'WNDR4700: the device tree was not wrapped into a uImage',
      image: 'netgear_wndr4700-sysupgrade.bin',
      change: (image) => {
        const tar = rebuilt(sysupgradeTar, withoutMetadata(image), ({ kernel }) => ({ kernel: (kernel as Bytes).slice(64) }));
        return withMetadata(tar, { compat_version: '3.0', supported_devices: ['-'], new_supported_devices: ['netgear,wndr4700'] });
      },
      device: 'netgear_wndr4700',
      route: 'sysupgrade',
      outcome: 'bricks',
      code: 'layout-mismatch',
      words: ['would take it, but it would not boot', 'expected dtb'],
    },
    {
      reference: 'openwrt/openwrt#16344',
      story: 'UBI made for other pages than the NAND of the device has',
      image: 'extreme_ap3935-nand-factory.bin',
      change: () => readFixtureFile('ubi/sound-sub-page.ubi'),
      device: 'extreme_ap3935',
      route: 'stock',
      outcome: 'refused',
      code: 'header-mismatch',
      words: ['in the header is'],
    },
    {
      reference: 'lukasz1992/asuswrt-xiaomi#37',
      story: 'a header edited by hand',
      image: c7Sysupgrade,
      change: damaged(40, ['tplink,archer-c7-v5']),
      device: c7,
      route: 'mtd',
      outcome: 'bricks',
      code: 'header-checksum-mismatch',
      words: ['Nobody would notice before the boot loader does'],
    },
    {
      reference: 'openwrt-stuff/firmware-mod-kit#127',
      story: 'the kernel wrapped a second time when the image was put together again',
      image: c7Sysupgrade,
      change: (image) => {
        const slice = withoutMetadata(image);
        const twice = rebuilt(uimage, slice, () => ({ data: slice.slice(0, 35_104) }));
        // The second header took its room from the padding in front of the end mark.
        return withMetadata(joined(twice.slice(0, 65_536), slice.slice(65_536)), { supported_devices: ['tplink,archer-c7-v5'] });
      },
      device: c7,
      route: 'sysupgrade',
      outcome: 'bricks',
      code: 'layout-mismatch',
      words: ['expected lzma, found uimage'],
    },
  ],
  K14: [
    {
      reference: 'forum.openwrt.org/t/35512/133',
      story: "Archer C20 v5: the vendor's image, with its boot loader, through sysupgrade",
      image: 'tplink_archer-c20-v5-sysupgrade.bin',
      change: withBootLoader(tplinkV2),
      device: 'tplink_archer-c20-v5',
      route: 'sysupgrade',
      outcome: 'refused',
      code: 'bootloader-inside',
      words: ['Do not force it: it would be written, and not boot'],
    },
    {
      reference: 'superuser.com/questions/646503',
      story: '"dd skip=257 bs=512": how much to take off is in the file',
      image: 'tplink_archer-c20-v5-sysupgrade.bin',
      change: withBootLoader(tplinkV2),
      device: 'tplink_archer-c20-v5',
      route: 'mtd',
      outcome: 'bricks',
      code: 'bootloader-inside',
      words: ['carries a boot loader', 'tail -c +131585'],
    },
    {
      reference: 'forum.archive.openwrt.org id=55663',
      story: 'WR841: vendor firmware with "boot" in its name, written with mtd',
      image: 'tplink_tl-wr841-v9-factory.bin',
      change: withBootLoader(tplinkV1),
      device: 'tplink_tl-wr841-v9',
      route: 'mtd',
      outcome: 'bricks',
      code: 'bootloader-inside',
      words: ['tail -c +131585'],
    },
    {
      reference: 'forum.openwrt.org/t/33670',
      story: 'WR841N: too much taken off, the header went with the boot loader',
      image: 'tplink_tl-wr841-v9-factory.bin',
      change: (image) => image.slice(0x200),
      device: 'tplink_tl-wr841-v9',
      route: 'mtd',
      outcome: 'bricks',
      code: 'boot-magic-mismatch',
      words: ["looks for TP-Link's header", 'Bad Magic Number'],
    },
    {
      reference: 'forum.openwrt.org/t/79367',
      story: 'Archer C7 v5: a dump of the whole flash written to a partition',
      image: c7Sysupgrade,
      change: (image) => joined(erased(0xc0000).fill(0x3c, 0, 0x10000), withoutMetadata(image), erased(0x10000).fill(0x5a, 0, 0x1000)),
      device: c7,
      route: 'mtd',
      outcome: 'bricks',
      code: 'dump-in-front',
      words: ['begins only at 786432 (0xc0000)', 'tail -c +786433'],
    },
    {
      reference: 'hitorisensei.github.io 2024/07/08',
      story: "MR70X: the vendor's kind of package written from OpenWrt, warnings ignored -> Bad Magic Number",
      image: 'mercusys_mr70x-v1-factory.bin',
      device: 'mercusys_mr70x-v1',
      route: 'mtd',
      outcome: 'bricks',
      code: 'boot-magic-mismatch',
      words: ['Bad Magic Number'],
    },
  ],
};

async function verdictOf({ image, change, name, device, route, running }: Incident) {
  const bytes = (change ?? ((same: Bytes) => same))(loadImage(image));
  const inspection = await inspect(bytes, { deep: true });
  const { verdicts } = checkWith(inspection, bytes.length, context, {
    device: deviceOf(device),
    ...(name === undefined ? {} : { name }),
    running: running ?? {},
  });
  return verdicts.find((verdict) => verdict.route === route);
}

describe.each(Object.entries(incidents))('%s', (_, cases) => {
  test.each(cases.map((incident) => [`${incident.reference}: ${incident.story}`, incident] as const))('%s', async (__, incident) => {
    const verdict = await verdictOf(incident);
    const said = [verdict?.reason, verdict?.next, ...(verdict?.assumes ?? []), ...(verdict?.findings ?? []).map(({ message }) => message)].join(' ');
    expect(verdict?.outcome, said).toBe(incident.outcome);
    if (incident.code !== undefined) expect(verdict?.findings.map(({ code }) => code)).toContain(incident.code);
    for (const words of incident.words) expect(said).toContain(words);
  });

  test('has incidents of at least three places', () => {
    expect(new Set(cases.map(({ reference }) => reference)).size).toBeGreaterThanOrEqual(3);
  });
});

test('test/images/README.md tells of every image, with its digest', () => {
  const page = readFileSync(new URL('images/README.md', import.meta.url), 'utf8');
  for (const name of imageNames) {
    const row = page.split('\n').find((line) => line.startsWith(`| \`${name}\` |`));
    expect(row, name).toContain(createHash('sha256').update(loadImage(name)).digest('hex'));
  }
});

test('docs/incidents.md tells of every incident', () => {
  const page = readFileSync(new URL('../docs/incidents.md', import.meta.url), 'utf8');
  for (const [name, cases] of Object.entries(incidents)) {
    expect(page).toContain(`| ${name} |`);
    for (const { reference } of cases) expect(page).toContain(reference);
  }
});
