import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { native } from '../../src/native.js';

const EBADF = 9;

/** The count of the eventfd from /proc, which reading does not change. */
const countOf = (fd: number): bigint =>
  BigInt(`0x${readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1').match(/eventfd-count:\s+([0-9a-f]+)/)![1]!}`);

const isBlocking = (fd: number): boolean =>
  (Number.parseInt(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1').match(/flags:\s+(\d+)/)![1]!, 8) &
    0o4000) ===
  0;

const count = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
};

describe('addon: eventfd', () => {
  let fd: number;
  beforeEach(() => {
    fd = native.eventFd();
  });
  afterEach(() => closeSync(fd));

  it('counts signals until they are drained', () => {
    assert.equal(native.drain(fd), 0);
    assert.equal(native.signal(fd), 0);
    assert.equal(native.signal(fd), 0);
    assert.equal(countOf(fd), 2n);
    assert.equal(native.drain(fd), 2);
    assert.equal(native.drain(fd), 0);
  });

  it('is close-on-exec and non-blocking', () => {
    assert.match(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'), /flags:\s+02004002/);
  });

  it('never waits for one that the peer has made blocking', () => {
    // O_NONBLOCK belongs to the shared open file. libuv clears it on a descriptor that becomes a child's stdin.
    spawnSync('true', { stdio: [fd, 'ignore', 'ignore'] });
    assert.ok(isBlocking(fd));
    assert.equal(native.drain(fd), 0);
    assert.equal(native.signal(fd), 0);
    assert.equal(native.drain(fd), 1);
    assert.equal(native.drain(fd), 0);
    writeSync(fd, count(0xfffffffffffffffen));
    assert.equal(native.signal(fd), 0);
    assert.equal(countOf(fd), 0xfffffffffffffffen);
    assert.ok(isBlocking(fd));
  });

  it('finds a saturated counter no error', () => {
    writeSync(fd, count(0xfffffffffffffffen));
    assert.equal(native.signal(fd), 0);
    assert.equal(native.drain(fd), Number(0xfffffffffffffffen));
  });

  it('knows an eventfd from anything else', () => {
    assert.equal(native.isEventFd(fd), true);
    const others = [
      openSync('/dev/null', 'r'),
      native.memoryFile('anon_inode:[eventfd]', 4096),
      ...native.socketPair(),
    ];
    for (const other of others) {
      assert.equal(native.isEventFd(other), false);
      closeSync(other);
    }
    assert.equal(native.isEventFd(-1), false);
    assert.equal(native.isEventFd(1_000_000), false);
  });

  it('says what is no descriptor', () => {
    assert.equal(native.signal(-1), EBADF);
    assert.equal(native.signal(1_000_000), EBADF);
    assert.equal(native.drain(-1), -EBADF);
    assert.equal(native.drain(1_000_000), -EBADF);
  });
});
