/** vicodec and vim2m without the bridge, by v4l2-ctl's own streaming. The bridge's output is compared with theirs. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** Encodes YU12 to FWHT. */
export function encodeNatively(node: string, { width, height }: PictureSize, raw: Buffer): Buffer {
  const output = `width=${width},height=${height},pixelformat=YU12`;
  return throughFiles(node, raw, ['-x', output, '-v', `width=${width},height=${height},pixelformat=FWHT`]);
}

/** Decodes FWHT to YU12. */
export function decodeNatively(node: string, stream: Buffer): Buffer {
  return throughFiles(node, stream, ['-x', 'pixelformat=FWHT']);
}

/** Converts RGB3 to the converter's initial format, in the same size. */
export function convertNatively(node: string, { width, height }: PictureSize, raw: Buffer): Buffer {
  const size = `width=${width},height=${height}`;
  return throughFiles(node, raw, ['-x', `${size},pixelformat=RGB3`, '-v', size]);
}

function throughFiles(node: string, input: Buffer, formats: readonly string[]): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'native-codec-'));
  const [from, to] = [join(folder, 'in'), join(folder, 'out')];
  try {
    writeFileSync(from, input);
    const streaming = ['--stream-mmap', '--stream-out-mmap', '--stream-from', from, '--stream-to', to];
    execFileSync('v4l2-ctl', ['-d', node, ...formats, ...streaming], { stdio: 'pipe', timeout: 60_000 });
    return readFileSync(to);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
