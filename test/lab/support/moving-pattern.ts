/**
 * Raw YU12 pictures that differ from their neighbours in every line. The same size and number give the same picture.
 */

/** `width` and `height` must be even. */
export function movingPattern(width: number, height: number, number: number): Buffer {
  const chroma = { width: width / 2, height: height / 2 };
  return Buffer.concat([
    slopes(width, height, 7 * number, 3),
    slopes(chroma.width, chroma.height, 64 + 2 * number, 1),
    slopes(chroma.width, chroma.height, 128 + 5 * number, 2),
  ]);
}

/**
 * Each line is the one above it, moved by `slant`; the whole picture is moved by `shift`. There is a step every 32
 * bytes, so the codec has edges to encode.
 */
function slopes(width: number, height: number, shift: number, slant: number): Buffer {
  const ramp = Buffer.alloc(width + 256);
  for (let x = 0; x < ramp.length; x++) ramp[x] = (x + (x & 32) * 3) & 255;
  const plane = Buffer.alloc(width * height);
  for (let y = 0; y < height; y++) {
    const start = (y * slant + shift) & 255;
    ramp.copy(plane, y * width, start, start + width);
  }
  return plane;
}
