/** Headers that are text: lines of `key:value`, the rest of the header filled up. */
import type { Range } from './types.ts';

export interface TextLine {
  readonly key: string;
  readonly value: string;
  /** The line without its line end. */
  readonly place: Range;
  /** Where the value begins. */
  readonly valueOffset: number;
}

/** Reads lines from the first byte on, up to the first byte that is not text. The last one may lack its line end. */
export function textLines(bytes: Uint8Array): TextLine[] {
  const lines: TextLine[] = [];
  let offset = 0;
  let text = '';
  const take = (): void => {
    const colon = text.indexOf(':');
    if (colon > 0) {
      const place = { offset, length: text.length };
      lines.push({ key: text.slice(0, colon), value: text.slice(colon + 1), place, valueOffset: offset + colon + 1 });
    }
    offset += text.length + 1;
    text = '';
  };
  for (const byte of bytes) {
    if (byte === 0x0a) take();
    else if (byte < 0x20 || byte > 0x7e) break;
    else text += String.fromCharCode(byte);
  }
  take();
  return lines;
}
