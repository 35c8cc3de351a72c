/**
 * Flattened device tree (DTB): what a boot loader gives the kernel to describe the hardware. Big endian, no
 * checksum. Its root names the board: a model for people and a list of names for programs.
 *
 * Layout: Devicetree Specification 0.4, chapter 5. Writer: dtc.
 */
import { type FdtInput, fdtMagic, probeFdt, propertyOf, readFdt, stringsOf, tileFdt, writeFdt } from '../src/core/fdt.ts';
import type { Format, Reading } from '../src/core/format.ts';
import type { Confidence, Field, Identity } from '../src/core/types.ts';

/** The root child which makes a tree an image tree instead. */
const imagesNode = 'images';

export const dtb: Format<FdtInput> = {
  id: 'dtb',
  title: 'Flattened device tree (DTB)',
  summary: 'The description of a board that a boot loader or a kernel reads: appended to kernels, packed into FIT images.',
  role: 'data',
  kind: 'unknown',
  references: [
    {
      title: 'Devicetree Specification 0.4, chapter 5',
      url: 'https://github.com/devicetree-org/devicetree-specification/blob/v0.4/source/chapter5-flattened-format.rst',
    },
    { title: 'dtc', url: 'https://github.com/dgibson/dtc/blob/v1.6.1/flattree.c' },
  ],
  limitations: ['Versions before 16, which dtc has not written by default since 2005, are recognised but not read.'],
  magics: [{ offset: 0, bytes: fdtMagic }],

  detect(bytes): Confidence {
    const { header, hasChild, whole } = probeFdt(bytes, imagesNode);
    if (header === 'none' || header === 'cut' || hasChild) return 'no';
    return header === 'sound' && whole ? 'yes' : 'maybe';
  },

  parse(bytes, { budget }): Reading<FdtInput> {
    const tree = readFdt(bytes, budget.limits);
    const { input } = tree;
    const fields: Field[] = [...tree.fields];
    const identities: Identity[] = [];
    for (const name of ['model', 'compatible']) {
      const property = propertyOf(tree.root, name);
      const texts = property === undefined ? undefined : stringsOf(bytes, property.value)?.slice(0, budget.limits.shown);
      if (property === undefined || texts === undefined) continue;
      fields.push({ name, ...property.value, value: texts.length === 1 ? (texts[0]?.text ?? '') : texts.map(({ text }) => text) });
      identities.push(...texts.map(({ text, offset }) => ({ source: `dtb.${name}`, value: text, offset })));
    }
    const model = identities.find(({ source }) => source === 'dtb.model') ?? identities[0];
    return {
      length: tree.length,
      summary: model === undefined ? 'Device tree' : `Device tree of "${model.value}"`,
      fields,
      regions: tileFdt(bytes, tree.regions, tree.length),
      checks: [],
      findings: tree.findings,
      identities,
      payloads: [],
      ...(input === undefined ? {} : { input }),
    };
  },

  build: writeFdt,
};
