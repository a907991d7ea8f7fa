/** Encodes pictures as PNG and JPEG. */
import type { Picture } from './picture.js';
import { loadSharp } from './sharp.js';

const JPEG_QUALITY = 90;

export async function encodePng(picture: Picture): Promise<Buffer> {
  return (await raw(picture)).png({ adaptiveFiltering: true }).toBuffer();
}

/** Without subsampling of chroma. */
export async function encodeJpeg(picture: Picture): Promise<Buffer> {
  return (await raw(picture)).jpeg({ quality: JPEG_QUALITY, chromaSubsampling: '4:4:4' }).toBuffer();
}

async function raw({ width, height, data }: Picture) {
  const sharp = await loadSharp();
  return sharp(data, { raw: { width, height, channels: 3 } });
}
