import assert from 'node:assert/strict';
import { closeSync, fstatSync, ftruncateSync, readlinkSync, readSync, writeSync } from 'node:fs';
import { native } from '../../src/native.js';

const EBADF = 9;
const EINVAL = 22;

describe('addon: memoryFile', () => {
  let fd: number;
  beforeEach(() => {
    fd = native.memoryFile('frames', 64 << 10);
  });
  afterEach(() => closeSync(fd));

  it('has the size and the name', () => {
    assert.equal(fstatSync(fd).size, 64 << 10);
    assert.match(readlinkSync(`/proc/self/fd/${fd}`), /memfd:frames/);
  });

  it('neither shrinks nor grows', () => {
    assert.throws(() => ftruncateSync(fd, 4096), { code: 'EPERM' });
    assert.throws(() => ftruncateSync(fd, 1 << 20), { code: 'EPERM' });
    assert.equal(writeSync(fd, Buffer.from('still writable')), 14);
  });

  it('may be larger than memory', () => {
    const sparse = native.memoryFile('sparse', (1 << 30) << 0);
    assert.equal(fstatSync(sparse).blocks, 0);
    closeSync(sparse);
  });

  it('gives pages back', () => {
    writeSync(fd, Buffer.alloc(64 << 10, 1));
    const before = fstatSync(fd).blocks;
    assert.equal(native.punchHole(fd, 16 << 10, 32 << 10), 0);
    assert.equal(fstatSync(fd).blocks, before - 64);
    const bytes = Buffer.alloc(64 << 10);
    readSync(fd, bytes, 0, bytes.length, 0);
    assert.equal(bytes.indexOf(0), 16 << 10);
    assert.equal(bytes.lastIndexOf(0), (48 << 10) - 1);
    assert.equal(fstatSync(fd).size, 64 << 10);
  });

  it('says what it refuses', () => {
    assert.equal(native.punchHole(fd, 0, 0), EINVAL);
    assert.equal(native.punchHole(-1, 0, 4096), EBADF);
    assert.throws(() => native.memoryFile('x'.repeat(250), 4096), {
      code: 'EINVAL',
      syscall: 'memfd_create',
    });
    assert.throws(() => native.memoryFile('x', -1), TypeError);
    assert.throws(() => native.memoryFile('x', 2 ** 53), TypeError);
  });
});
