/** What `#platform` gives, the same in Node and in browsers. */

export type DigestAlgorithm = 'md5' | 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** Why unpacking failed. `limit`: more than was allowed came out. */
export type UnpackFailure = 'limit' | 'truncated' | 'corrupt';

export interface NotUnpacked {
  readonly ok: false;
  readonly failure: UnpackFailure;
  readonly reason: string;
}

export interface Unpacked {
  readonly ok: true;
  readonly bytes: Uint8Array;
}

export interface Inflated extends Unpacked {
  /** Packed bytes that were read. */
  readonly consumed: number;
}

/** Unpacks one deflated member of an archive, which has its packed bytes at `offset`. */
export type UnpackMember = (offset: number, length: number, maximumLength: number) => Promise<Unpacked | NotUnpacked>;
