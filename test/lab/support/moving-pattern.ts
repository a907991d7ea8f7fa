/** Raw YU12 pictures that differ from their neighbours in every line: the same for the same size and number. */

/** `width`: even; `height`: even. */
export function movingPattern(width: number, height: number, number: number): Buffer {
  const chroma = { width: width / 2, height: height / 2 };
  return Buffer.concat([
    slopes(width, height, 7 * number, 3),
    slopes(chroma.width, chroma.height, 64 + 2 * number, 1),
    slopes(chroma.width, chroma.height, 128 + 5 * number, 2),
  ]);
}

/** Each line is the one above, moved by `slant`; the whole is moved by `shift`. Steps every 32 bytes: edges for a codec. */
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
