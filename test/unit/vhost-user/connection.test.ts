import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { failure } from '../../../src/result.js';
import { Connection, MAX_UNSENT, type Message } from '../../../src/vhost-user/connection.js';
import { settle, until } from '../../support/until.js';
import { success } from '../support/success.js';
import { message, openDescriptors, Wire, withoutLog } from './support/vmm.js';

describe('vhost-user connection', () => {
  withoutLog();
  let wire: Wire;
  let connection: Connection;
  let received: Message[];
  let ends: (Error | null)[];
  let before: number;
  let onMessage: (message: Message) => void;

  const connect = (carries: 'requests' | 'replies' = 'requests') => {
    const [ours, theirs] = native.socketPair();
    wire = new Wire(ours);
    connection = new Connection({
      fd: theirs,
      carries,
      onMessage: (got) => {
        received.push(got);
        onMessage(got);
      },
      onEnd: (error) => ends.push(error),
    });
  };

  beforeEach(() => {
    before = openDescriptors();
    received = [];
    ends = [];
    onMessage = () => {};
    connect();
  });

  afterEach(() => {
    for (const { descriptors } of received) for (const fd of descriptors.splice(0)) closeSync(fd);
    connection.close();
    wire.close();
    assert.equal(openDescriptors(), before, 'descriptors leaked');
  });

  const code = () => (ends[0] as { code?: string } | null)?.code;
  const endsWith = async (expected: string) => {
    await until(() => ends.length > 0, 'the end');
    assert.equal(code(), expected);
    assert.ok(wire.ended);
  };

  const lend = (count: number, run: (descriptors: number[]) => void) => {
    const descriptors = Array.from({ length: count }, () => openSync('/dev/null', 'r'));
    run(descriptors);
    for (const fd of descriptors) closeSync(fd);
  };

  it('gives a message with its body and descriptors', async () => {
    lend(2, (descriptors) => wire.send(5, 0x9, Buffer.from('body'), descriptors));
    await until(() => received.length === 1);
    const [first] = received;
    assert.equal(first?.request, 5);
    assert.equal(first?.flags, 0x9);
    assert.equal(first?.body.toString(), 'body');
    assert.equal(first?.descriptors.length, 2);
  });

  it('gives a message without a body', async () => {
    wire.send(1, 1);
    await until(() => received.length === 1);
    assert.equal(received[0]?.body.length, 0);
  });

  it('puts a message together that was cut at any byte, with descriptors on the first', async () => {
    const whole = message(5, 1, Buffer.from('0123456789abcdef'));
    for (let cut = 1; cut < whole.length; cut++) {
      const descriptor = openSync('/dev/null', 'r');
      wire.raw(whole.subarray(0, cut), [descriptor]);
      closeSync(descriptor);
      await settle(4);
      assert.equal(received.length, 0, `cut at ${cut}`);
      wire.raw(whole.subarray(cut));
      await until(() => received.length === 1, `a message cut at ${cut}`);
      const [got] = received.splice(0);
      assert.equal(got?.body.toString(), '0123456789abcdef');
      assert.equal(got?.descriptors.length, 1);
      for (const fd of got?.descriptors ?? []) closeSync(fd);
    }
  });

  it('puts a message together from single bytes', async () => {
    const whole = message(24, 1, Buffer.from('0123456789'));
    const descriptor = openSync('/dev/null', 'r');
    for (let at = 0; at < whole.length; at++) {
      wire.raw(whole.subarray(at, at + 1), at === 0 ? [descriptor] : []);
      await settle(1);
    }
    closeSync(descriptor);
    await until(() => received.length === 1);
    assert.equal(received[0]?.body.toString(), '0123456789');
    assert.equal(received[0]?.descriptors.length, 1);
  });

  it('takes messages apart that came at once, each with its descriptors', async () => {
    for (const request of [1, 2, 3])
      lend(request - 1, (descriptors) => wire.send(request, 1, Buffer.alloc(request), descriptors));
    wire.raw(Buffer.concat([message(4, 1, Buffer.from('x')), message(5, 1, Buffer.alloc(0))]));
    await until(() => received.length === 5);
    assert.deepEqual(
      received.map(({ request, body, descriptors }) => [request, body.length, descriptors.length]),
      [
        [1, 1, 0],
        [2, 2, 1],
        [3, 3, 2],
        [4, 1, 0],
        [5, 0, 0],
      ],
    );
  });

  it('takes hundreds of messages in one go', async () => {
    const many = Array.from({ length: 500 }, (_, index) => message(index, 1, Buffer.alloc(8)));
    wire.raw(Buffer.concat(many));
    await until(() => received.length === 500);
    assert.deepEqual(
      received.map(({ request }) => request),
      many.map((_, index) => index),
    );
  });

  it('takes a body of 4096 bytes and 32 descriptors', async () => {
    lend(32, (descriptors) => wire.send(5, 1, Buffer.alloc(4096), descriptors));
    await until(() => received.length === 1);
    assert.equal(received[0]?.descriptors.length, 32);
  });

  describe('ends with', () => {
    it('nothing wrong when the peer closes between messages', async () => {
      wire.send(1, 1);
      closeSync(wire.fd);
      await until(() => ends.length === 1);
      assert.deepEqual(ends, [null]);
      assert.equal(received.length, 1);
      connect();
    });

    for (const cut of [1, 11, 12, 15])
      it(`ERR_VHOST_TRUNCATED when the peer closes after ${cut} bytes`, async () => {
        const descriptor = openSync('/dev/null', 'r');
        wire.raw(message(5, 1, Buffer.alloc(8)).subarray(0, cut), [descriptor]);
        closeSync(descriptor);
        closeSync(wire.fd);
        await until(() => ends.length === 1);
        assert.equal(code(), 'ERR_VHOST_TRUNCATED');
        connect();
      });

    for (const version of [0, 2, 3])
      it(`ERR_VHOST_VERSION at version ${version}`, async () => {
        lend(3, (descriptors) => wire.send(1, version, Buffer.alloc(0), descriptors));
        await endsWith('ERR_VHOST_VERSION');
      });

    for (const flags of [0x5, 0x11, 0x8000_0001])
      it(`ERR_VHOST_FLAGS at flags 0x${flags.toString(16)}`, async () => {
        wire.send(1, flags);
        await endsWith('ERR_VHOST_FLAGS');
      });

    for (const size of [4097, 0x7fff_ffff, 0xffff_ffff])
      it(`ERR_VHOST_SIZE at a body of ${size} bytes`, async () => {
        const head = message(5, 1, Buffer.alloc(0));
        head.writeUInt32LE(size, 8);
        wire.raw(head);
        await endsWith('ERR_VHOST_SIZE');
      });

    it('ERR_VHOST_DESCRIPTORS when more come in the pieces of a header', async () => {
      const whole = message(5, 1, Buffer.alloc(8));
      lend(20, (descriptors) => wire.raw(whole.subarray(0, 1), descriptors));
      lend(20, (descriptors) => wire.raw(whole.subarray(1), descriptors));
      await endsWith('ERR_VHOST_DESCRIPTORS');
    });

    it('ERR_VHOST_DESCRIPTORS when they come with the body', async () => {
      const whole = message(5, 1, Buffer.alloc(8));
      wire.raw(whole.subarray(0, 12));
      await settle(4);
      lend(1, (descriptors) => wire.raw(whole.subarray(12), descriptors));
      await endsWith('ERR_VHOST_DESCRIPTORS');
    });

    it('the error that the receiver throws', async () => {
      onMessage = () => {
        throw new TypeError('a bug');
      };
      wire.send(1, 1);
      wire.send(2, 1);
      await until(() => ends.length === 1);
      assert.equal(ends[0]?.message, 'a bug');
      assert.equal(received.length, 1);
      assert.ok(wire.ended);
    });
  });

  it('delivers nothing after close(), and does not say that it ended', async () => {
    onMessage = () => connection.close();
    wire.send(1, 1);
    wire.send(2, 1);
    await until(() => wire.ended);
    await settle();
    assert.equal(received.length, 1);
    assert.deepEqual(ends, []);
    assert.equal(connection.send(1, 4, Buffer.alloc(8)), 104);
    assert.equal(connection.unreadBytes, failure(104));
  });

  it('sends the header, the body and the descriptors', async () => {
    const descriptor = openSync('/dev/null', 'r');
    assert.equal(connection.send(9, 8, Buffer.from('payload'), [descriptor]), 0);
    closeSync(descriptor);
    const heard = await wire.next();
    assert.deepEqual([heard.request, heard.flags, heard.body.toString()], [9, 9, 'payload']);
    assert.equal(heard.descriptors.length, 1);
    for (const fd of heard.descriptors) closeSync(fd);
  });

  it('queues what the socket does not take, in order', async () => {
    const sent: number[] = [];
    // More than a socket's buffer takes, but less than the limit of unsent bytes.
    while (sent.length < 60) {
      assert.equal(connection.send(sent.length, 4, Buffer.alloc(4096, sent.length)), 0);
      sent.push(sent.length);
    }
    const heard: number[] = [];
    await until(() => {
      for (let next = wire.poll(); next; next = wire.poll()) {
        assert.ok(next.body.length === 4096 && next.body.every((byte) => byte === next?.request));
        heard.push(next.request);
      }
      return heard.length === sent.length;
    }, 'everything');
    assert.deepEqual(heard, sent);
    await until(() => connection.unreadBytes === 0);
  });

  it('gives up a peer that reads nothing', async () => {
    let failed = 0;
    for (let count = 0; count < 1000 && failed === 0; count++)
      failed = connection.send(1, 4, Buffer.alloc(4096));
    assert.equal(failed, 104);
    assert.ok(success(connection.unreadBytes) >= MAX_UNSENT);
    assert.deepEqual(ends, [], 'called back from send');
    await until(() => ends.length === 1);
    assert.equal(code(), 'ERR_VHOST_UNREAD');
  });

  it('does not queue descriptors: a full socket is EAGAIN', async () => {
    const descriptor = openSync('/dev/null', 'r');
    let errno = 0;
    for (let count = 0; count < 1000 && errno === 0; count++)
      errno = connection.send(9, 0, Buffer.alloc(4000), [descriptor]);
    closeSync(descriptor);
    assert.equal(errno, 11);
    assert.deepEqual(ends, []);
    await until(() => {
      for (let next = wire.poll(); next; next = wire.poll()) for (const fd of next.descriptors) closeSync(fd);
      return connection.unreadBytes === 0;
    });
  });

  it('takes replies where it is told to, and nothing else', async () => {
    connection.close();
    wire.close();
    connect('replies');
    wire.send(9, 0x5, Buffer.alloc(8));
    await until(() => received.length === 1);
    wire.send(9, 0x1, Buffer.alloc(8));
    await endsWith('ERR_VHOST_FLAGS');
  });

  it('says that the peer is gone when it sends', async () => {
    closeSync(wire.fd);
    assert.equal(connection.send(1, 4, Buffer.alloc(8)), 104);
    await until(() => ends.length === 1);
    assert.deepEqual(ends, [null]);
    connect();
  });
});
