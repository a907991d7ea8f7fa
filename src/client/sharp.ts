/** sharp, loaded at its first use, because that takes a tenth of a second and most commands need no picture. */
import type Sharp from 'sharp';
import { PictureError } from './picture.js';

let loaded: Promise<typeof Sharp> | undefined;

/** Rejects with PictureError if sharp does not load on this machine. */
export function loadSharp(): Promise<typeof Sharp> {
  loaded ??= limited();
  return loaded;
}

/** Of the formats that sharp can read, frames of a device reach only the JPEG decoder. */
async function limited(): Promise<typeof Sharp> {
  const { default: sharp } = await import('sharp').catch((error: Error) => {
    throw new PictureError(`sharp, which decodes and encodes pictures, does not load: ${firstLine(error)}`);
  });
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({ operation: ['VipsForeignLoadJpegBuffer'] });
  sharp.cache(false);
  return sharp;
}

/** Errors of sharp have a paragraph of advice, those of libvips a line for each step. */
export function firstLine({ message }: Error): string {
  return message.split('\n')[0]!;
}
