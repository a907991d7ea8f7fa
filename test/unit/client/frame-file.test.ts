import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FrameFile } from '../../../src/client/frame-file.js';
import type { ImageFormat } from '../../../src/client/image-format.js';
import { OutputFile } from '../../../src/client/output-file.js';

/** A format of 4 x 2 pixels with two memory planes. */
const format: ImageFormat = {
  fourcc: 'NM12',
  width: 4,
  height: 2,
  planes: [
    { bytesperline: 4, sizeimage: 8 },
    { bytesperline: 4, sizeimage: 4 },
  ],
  colorspace: 0,
  ycbcrEnc: 0,
  quantization: 0,
};

describe('files of frames', () => {
  let folder: string;
  const path = (name: string) => join(folder, name);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'frames-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('are cut into raw frames, plane by plane', () => {
    writeFileSync(path('raw'), Buffer.from(Array.from({ length: 24 }, (_, i) => i)));
    const file = new FrameFile(path('raw'));
    const { spans, largest } = file.cutRaw(format);
    assert.deepEqual([spans.length, largest], [2, 12]);
    const frames = [...file.frames(spans, [8, 4])];
    assert.deepEqual(
      frames.map((planes) => planes.map((plane) => [plane[0], plane.length])),
      [
        [
          [0, 8],
          [8, 4],
        ],
        [
          [12, 8],
          [20, 4],
        ],
      ],
    );
    file.close();
  });

  it('are refused: missing, empty, a folder, cut short, of a format that nobody can cut', () => {
    assert.throws(() => new FrameFile(path('none')), { code: 'ENOENT' });
    assert.throws(() => new FrameFile(folder), /is no ordinary file/);
    writeFileSync(path('empty'), '');
    assert.throws(() => new FrameFile(path('empty')), /is empty/);
    writeFileSync(path('short'), Buffer.alloc(23));
    const file = new FrameFile(path('short'));
    assert.throws(() => file.cutRaw(format), /it has 23 bytes, a frame of NM12 4x2 has 12/);
    assert.throws(() => file.cutStream('VP80'), /frames of VP80: known are raw formats, FWHT .*H264/);
    file.close();
  });

  it('are written when there is something to write', () => {
    const output = new OutputFile(path('out'));
    assert.equal(existsSync(path('out')), false);
    output.write(Buffer.from('ab'));
    output.write(Buffer.from('c'));
    output.close();
    output.close();
    assert.equal(output.bytes, 3);
    assert.equal(readFileSync(path('out'), 'utf8'), 'abc');
    assert.throws(() => new OutputFile(path('none/out')), { code: 'ENOENT' });
  });
});
