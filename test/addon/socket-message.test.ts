import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { native, type Received } from '../../src/native.js';
import { keptDescriptors } from './support/kept-descriptors.js';

const EAGAIN = 11;
const EBADF = 9;
const EINVAL = 22;
const EPIPE = 32;
const EMSGSIZE = 90;

function received(result: Received | number): Received {
  assert.ok(typeof result === 'object', `receive: ${result}`);
  return result;
}

describe('addon: messages on sockets', () => {
  const { keep, pair } = keptDescriptors();

  it('reads what has come, up to the room there is', () => {
    const [a, b] = pair();
    assert.equal(native.receive(b, Buffer.alloc(8)), -EAGAIN);
    native.send(a, Buffer.from('abcdef'), []);
    const into = Buffer.alloc(4);
    assert.equal(received(native.receive(b, into)).length, 4);
    assert.equal(into.toString('latin1'), 'abcd');
    assert.equal(received(native.receive(b, into)).length, 2);
    assert.equal(into.toString('latin1'), 'efcd');
    assert.equal(native.receive(b, into), -EAGAIN);
  });

  it('passes descriptors, close-on-exec, of the same file', () => {
    const [a, b] = pair();
    const [one, two] = keep(native.memoryFile('one', 4096), native.memoryFile('two', 8192));
    assert.equal(native.send(a, Buffer.from('m'), [one!, two!]), 1);
    const { descriptors } = received(native.receive(b, Buffer.alloc(8)));
    keep(...descriptors);
    assert.deepEqual(
      descriptors.map((fd) => fstatSync(fd).size),
      [4096, 8192],
    );
    assert.deepEqual(
      descriptors.map((fd) => fstatSync(fd).ino),
      [fstatSync(one!).ino, fstatSync(two!).ino],
    );
    const flags = readFileSync(`/proc/self/fdinfo/${descriptors[0]}`, 'latin1').match(/flags:\s+(\d+)/)![1]!;
    assert.ok(Number.parseInt(flags, 8) & 0o2000000);
  });

  it('passes 32 descriptors', () => {
    const [a, b] = pair();
    const [fd] = keep(native.eventFd());
    assert.equal(native.send(a, Buffer.from('m'), Array<number>(32).fill(fd!)), 1);
    const { descriptors } = received(native.receive(b, Buffer.alloc(8)));
    keep(...descriptors);
    assert.equal(descriptors.length, 32);
    assert.throws(() => native.send(a, Buffer.from('m'), Array<number>(33).fill(fd!)), TypeError);
  });

  it('does not join the descriptors of two messages', () => {
    const [a, b] = pair();
    const [fd] = keep(native.eventFd());
    native.send(a, Buffer.from('one'), [fd!]);
    native.send(a, Buffer.from('two'), [fd!]);
    const first = received(native.receive(b, Buffer.alloc(64)));
    keep(...first.descriptors);
    assert.deepEqual([first.length, first.descriptors.length], [3, 1]);
    const second = received(native.receive(b, Buffer.alloc(64)));
    keep(...second.descriptors);
    assert.deepEqual([second.length, second.descriptors.length], [3, 1]);
  });

  it('closes them all when some were cut off', () => {
    // `send` refuses more descriptors than `receive` can take. But if the descriptor table is full, the kernel cuts
    // the list off too.
    const script = `
      import { readdirSync } from 'node:fs';
      import { native } from ${JSON.stringify(fileURLToPath(new URL('../../src/native.js', import.meta.url)))};
      const [a, b] = native.socketPair();
      native.send(a, Buffer.from('m'), Array(32).fill(native.eventFd()));
      const before = readdirSync('/proc/self/fd').length;
      const results = [];
      while (before + results.length < 80) results.push(native.eventFd());
      results.length = 0;
      results.push(native.receive(b, Buffer.alloc(8)), readdirSync('/proc/self/fd').length);
      console.log(results.join());
    `;
    const { stdout } = spawnSync(
      'sh',
      ['-c', 'ulimit -n 90 && exec "$0" --input-type=module -e "$1"', process.execPath, script],
      {
        encoding: 'utf8',
      },
    );
    assert.equal(stdout, `${-EMSGSIZE},80\n`);
  });

  it('tells the end of the stream from a failure', () => {
    const [a, b] = native.socketPair();
    keep(b);
    native.send(a, Buffer.from('bye'), []);
    closeSync(a);
    const into = Buffer.alloc(8);
    assert.equal(received(native.receive(b, into)).length, 3);
    assert.equal(received(native.receive(b, into)).length, 0);
    assert.equal(native.send(b, Buffer.from('x'), []), -EPIPE);
    assert.equal(native.receive(-1, into), -EBADF);
    assert.equal(native.send(-1, into, []), -EBADF);
    assert.equal(native.accept(-1), -EBADF);
  });

  it('sends as much as fits and never waits', () => {
    const [a, b] = pair();
    const big = Buffer.alloc(8 << 20, 7);
    const sent = native.send(a, big, []);
    assert.ok(sent > 0 && sent < big.length);
    assert.equal(native.send(a, big, []), -EAGAIN);
    let got = 0;
    for (;;) {
      const result = native.receive(b, big);
      if (typeof result === 'number') break;
      got += result.length;
    }
    assert.equal(got, sent);
  });

  it('refuses an array without room: 0 would read as the end', () => {
    const [, b] = pair();
    assert.equal(native.receive(b, new Uint8Array(0)), -EINVAL);
    const into = new Uint8Array(8);
    structuredClone(into.buffer, { transfer: [into.buffer] });
    assert.equal(native.receive(b, into), -EINVAL);
  });

  it('takes accessors for descriptors that detach the bytes', () => {
    const [a] = pair();
    const bytes = new Uint8Array(64);
    const descriptors: number[] = [];
    Object.defineProperty(descriptors, 0, {
      enumerable: true,
      get: () => {
        structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
        return a;
      },
    });
    assert.equal(native.send(a, bytes, descriptors), 0);
  });
});
