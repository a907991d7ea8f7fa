import assert from 'node:assert/strict';
import { PNG } from 'pngjs';
import { encodeJpeg, encodePng } from '../../../src/client/encoders.js';
import { decode } from './support/jpeg-turbo.js';

describe('pictures as files', () => {
  it('are PNG that reads back the same', async () => {
    const data = Uint8Array.from([255, 0, 0, 1, 2, 3, 0, 255, 0, 4, 5, 6]);
    const png = PNG.sync.read(await encodePng({ width: 2, height: 2, data }));
    assert.deepEqual([png.width, png.height], [2, 2]);
    assert.deepEqual([...png.data], [255, 0, 0, 255, 1, 2, 3, 255, 0, 255, 0, 255, 4, 5, 6, 255]);
  });

  it('are JPEG that reads back nearly the same', async () => {
    const data = Uint8Array.from({ length: 8 * 8 * 3 }, (_, i) => [200, 100, 50][i % 3]!);
    const { width, height, data: pixels } = decode(await encodeJpeg({ width: 8, height: 8, data }));
    assert.deepEqual([width, height], [8, 8]);
    for (const [i, value] of pixels.entries()) assert.ok(Math.abs(value - data[i]!) <= 3);
  });
});
