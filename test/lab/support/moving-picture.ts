/** Raw frames that are the same in every run: a gradient that moves, a bright square that jumps, and coarse noise. */

/** YU12: luma, then Cb and Cr with half the width and half the height. */
export function movingPicture(width: number, height: number, frames: number, seed = 1): Buffer[] {
  return Array.from({ length: frames }, (_, n) => picture(width, height, n, seed));
}

function picture(width: number, height: number, n: number, seed: number): Buffer {
  const frame = Buffer.alloc((width * height * 3) / 2);
  const square = { x: (37 * (n + seed)) % (width - 64), y: (23 * (n + seed)) % (height - 64) };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) frame[y * width + x] = 16 + ((x + 2 * y + 5 * n + 31 * seed) & 0x7f);
    if (y >= square.y && y < square.y + 64) {
      const row = y * width + square.x;
      for (let x = 0; x < 64; x++) frame[row + x] = 180 + (noise(x >> 3, y >> 3, seed) & 0x1f);
    }
  }
  for (let at = width * height; at < frame.length; at++) frame[at] = 96 + ((at + 3 * n + 17 * seed) & 0x3f);
  return frame;
}

function noise(x: number, y: number, seed: number): number {
  const mixed = Math.imul(x * 374_761_393 + y * 668_265_263 + seed * 2_246_822_519, 1_274_126_177);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
