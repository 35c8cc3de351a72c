/** What `#platform` gives, the same in Node and in browsers. */

export type DigestAlgorithm = 'md5' | 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** Why unpacking failed. `limit`: more than was allowed came out. */
export type UnpackFailure = 'limit' | 'truncated' | 'corrupt';

export type Unpacked =
  | { readonly ok: true; readonly bytes: Uint8Array /** Packed bytes that were read. */; readonly consumed: number }
  | { readonly ok: false; readonly failure: UnpackFailure; readonly reason: string };
