/** A decoded picture, and the errors of decoders. */

/** `data`: three bytes for each pixel (R, G, B), rows from the top, without padding. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** The value of a component without data: grey. */
export const ABSENT = 128;

/** The picture of a damaged frame. */
export interface Salvage {
  readonly picture: Picture;
  /** The share of the picture that has not arrived, from 0 to 1. It is grey. */
  readonly missing: number;
}

/** A frame cannot be decoded into a picture, or a picture cannot be encoded; `message` is a sentence. */
export class PictureError extends Error {}

/** The format of the frame is known, but this frame is not whole. */
export class DamagedFrame extends PictureError {}
